/** The way in for servers that give more to whom they know: a token, kept in this tab. */

import { useState } from "preact/hooks";
import { logIn, token } from "./access";

/** A field for a token. */
export function LogIn({ open = false }: { open?: boolean }) {
  const [text, setText] = useState("");
  const enter = (): void => {
    if (text.trim() !== "") logIn(text);
    setText("");
  };
  if (token.value !== "") {
    return (
      <p class="line">
        <small>Logged in with a token, until this tab is closed.</small>
        <button type="button" class="small" onClick={() => logIn("")}>Log out</button>
      </p>
    );
  }
  return (
    <details open={open}>
      <summary>Log in with a token</summary>
      <div class="line">
        <input
          type="password" autoComplete="off" aria-label="Token" placeholder="cf_…" value={text} onInput={(e) => setText(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key !== "Enter") return;
            // this may stand inside the form of a table
            e.preventDefault();
            enter();
          }}
        />
        <button type="button" disabled={text.trim() === ""} onClick={enter}>Log in</button>
        <small>Who runs the server gives tokens. It is sent to this server only, and forgotten with this tab.</small>
      </div>
    </details>
  );
}
