"""Messages survive the trip; everything else is refused as a whole."""

from __future__ import annotations

import random

import msgpack
import numpy as np
import pytest

from cfcore import wire

ID, TOKEN = b"\x01" + 15 * b"w", 16 * b"t"
EVERY = wire.TO_GATEWAY | wire.TO_WORKER | wire.LANE | wire.RESULTS


def job(**changes):
    rows = {"x": np.array([1.5, -0.0, np.nan]), "k": np.arange(6, dtype="i4").reshape(3, 2)}
    return wire.Job(**({"j": 7, "a": 1, "tok": TOKEN, "w": ID, "kind": "echo", "f": "CF4", "fv": "abcd", "ms": 5000,
                        "n": 3, "options": {"H0": 75.0, "deep": {"list": [1, None, True]}},
                        "columns": rows} | changes))


def result(**changes):
    return wire.Result(**({"j": 7, "a": 1, "tok": TOKEN, "w": ID, "st": "ok", "n": 0, "us": 12} | changes))


def travel(message):
    return wire.unpack([bytes(frame) for frame in wire.pack(message)], EVERY)


def forge(cls, *frames, **header):
    return wire.unpack([cls.kind_byte, msgpack.packb(header), *frames], EVERY)


@pytest.mark.parametrize("message", [
    wire.Hello("host", 4, "1.0", [{"id": "CF4", "sha": "ab", "default": True, "shape": [64, 64]}], 2, 1, 3, [(7, 1)], [8]),
    wire.Welcome(TOKEN, "ipc:///x/lane-1", 5572, 1000, 4000, 3), wire.Heartbeat(3, [(7, 1)], [8], 120, [(7, 55)]),
    wire.Pong(9),
    wire.Who(), wire.Ack([1, 2]), wire.Cancel([3], "unwanted"), wire.AskDrain(),
    wire.Bounce([(7, TOKEN)], "draining"), wire.Drain(), wire.Bye()],
    ids=lambda message: type(message).__name__)
def test_control_message_arrives_as_it_was_sent(message):
    assert travel(message) == message


def test_columns_arrive_with_the_same_bits():
    sent = job()
    got = travel(sent)
    assert got.options == sent.options
    for name, column in sent.columns.items():
        assert got.columns[name].dtype == column.dtype
        assert got.columns[name].tobytes() == column.tobytes() and got.columns[name].shape == column.shape


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<i8", "<i4", "|u1", ">f8"])
@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 2), (3, 0)])
def test_every_dtype_and_rank_survives(dtype, shape):
    column = np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    shared = {"grid": np.asfortranarray(np.ones((2, 5))), "zero": np.array(4.0)}
    got = travel(result(n=3, columns={"x": column}, shared=shared))
    np.testing.assert_array_equal(got.columns["x"], column)
    assert got.shared["grid"].shape == (2, 5) and got.shared["zero"].shape == ()


def test_numpy_scalars_in_facts_become_plain_numbers():
    info = {"n": np.int64(3), "x": np.float64(0.5), "ok": np.bool_(True)}
    assert travel(result(info=info)).info == {"n": 3, "x": 0.5, "ok": True}


def test_columns_at_odd_addresses_come_out_aligned():
    frame = memoryview(b"!" + np.arange(100.0).tobytes())[1:]
    cols = [{"name": "x", "dtype": "<f8", "shape": [100]}]
    frames = wire.pack(job(n=100, columns={}))
    header = msgpack.unpackb(frames[1]) | {"cols": cols}
    got = wire.unpack([b"J", msgpack.packb(header), frame], wire.LANE)
    assert got.columns["x"].flags.aligned
    np.testing.assert_array_equal(got.columns["x"], np.arange(100.0))


def test_unknown_header_field_is_ignored():
    assert forge(wire.Pong, seq=1, colour="blue") == wire.Pong(1)


@pytest.mark.parametrize("header", [{"seq": True}, {"seq": "1"}, {"seq": -1}, {"seq": 1.0}, {"seq": None}, {},
                                    {"seq": 2**63}])
def test_wrong_type_or_missing_field_is_refused(header):
    with pytest.raises(wire.WireError):
        forge(wire.Pong, **header)


@pytest.mark.parametrize("column, frame", [
    ({"dtype": "<f8", "shape": [3]}, bytes(24)),
    ({"name": "x", "dtype": "<f8", "shape": [3]}, bytes(23)),
    ({"name": "x", "dtype": "<f8", "shape": [2]}, bytes(16)),
    ({"name": "x", "dtype": "<f8", "shape": [3, -1]}, b""),
    ({"name": "x", "dtype": "<f8", "shape": [3, 2**40, 2**40]}, b""),
    ({"name": "x", "dtype": "<f8", "shape": [3, 1, 1, 1]}, bytes(24)),
    ({"name": "x", "dtype": "<f8", "shape": []}, bytes(8)),
    ({"name": "x", "dtype": "|O8", "shape": [3]}, bytes(24)),
    ({"name": "x", "dtype": ">f8", "shape": [3]}, bytes(24)),
    ({"name": "x", "dtype": "<f8", "shape": [3], "shared": True}, bytes(24)),
    ({"name": "x", "dtype": "<f8", "shape": [3], "shared": 1}, bytes(24)), ("x", bytes(24))])
def test_column_that_does_not_fit_its_description_is_refused(column, frame):
    header = msgpack.unpackb(wire.pack(job(columns={}))[1]) | {"cols": [column]}
    with pytest.raises(wire.WireError):
        wire.unpack([b"J", msgpack.packb(header), frame], wire.LANE)


def test_more_frames_than_columns_are_refused():
    with pytest.raises(wire.WireError):
        wire.unpack([*wire.pack(job()), b"more"], wire.LANE)
    with pytest.raises(wire.WireError):
        wire.unpack([*wire.pack(wire.Pong(1)), b"more"], wire.TO_WORKER)


def test_message_on_the_wrong_socket_is_refused():
    with pytest.raises(wire.WireError):
        wire.unpack(wire.pack(wire.Pong(1)), wire.TO_GATEWAY)


def test_oversized_header_is_refused_on_both_sides():
    with pytest.raises(wire.WireError, match="header"):
        wire.pack(job(options={"text": [1000 * "x"] * 20}))
    with pytest.raises(wire.WireError, match="header"):
        wire.unpack([b"J", bytes(wire.MAX_HEADER + 1)], wire.LANE)
    many = [{"id": f"field{k}", "sha": 64 * "a", "citation": 500 * "c"} for k in range(100)]
    assert len(travel(wire.Hello("h", 1, "1", many, 1)).fields) == 100


@pytest.mark.parametrize("options", [{"x": b"bytes"}, {"x": msgpack.ExtType(5, b"")}, {"x": 5000 * "s"},
                                     {str(k): k for k in range(65)}, {"x": [[[[[[[[[[1]]]]]]]]]]}])
def test_data_that_is_not_plain_is_refused(options):
    with pytest.raises(wire.WireError):
        travel(job(options=options))


@pytest.mark.parametrize("changes", [{"st": "error"}, {"err": {"code": "x"}}, {"st": "done"}])
def test_result_has_an_error_exactly_when_its_state_says_so(changes):
    with pytest.raises(wire.WireError):
        travel(result(**changes))


@pytest.mark.parametrize("column", [np.ones(2), np.array(1.0), np.ones(3, complex), np.array(["a", "b", "c"]),
                                    np.ones((3, 1, 1, 1)), np.ones(3, bool)])
def test_column_that_cannot_travel_is_refused_when_packing(column):
    with pytest.raises(wire.WireError):
        wire.pack(job(columns={"x": column}))


def test_random_bytes_raise_nothing_but_wire_error():
    rng = random.Random(5)
    whole = [bytes(frame) for frame in wire.pack(job())]
    for _ in range(5000):
        frames = [bytearray(frame) for frame in whole]
        for _ in range(rng.randrange(1, 4)):
            frame = rng.choice(frames)
            if frame:
                frame[rng.randrange(len(frame))] = rng.randrange(256)
        try:
            wire.unpack([bytes(frame) for frame in frames[:rng.randrange(6)]], EVERY)
            wire.unpack([wire.Hello.kind_byte, rng.randbytes(rng.randrange(60))], EVERY)
        except wire.WireError:
            pass
