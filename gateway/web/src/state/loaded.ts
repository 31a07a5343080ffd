/** Something that comes from the server: on its way, here, or refused. What was here stays shown while the next is on its way. */

import type { ApiError } from "../api/client";

export interface Loaded<T> {
  /** The last answer, if any; it belongs to an older question while `isLoading`. */
  data: T | null;
  error: ApiError | null;
  isLoading: boolean;
}

export const EMPTY: Loaded<never> = { data: null, error: null, isLoading: false };

/** On its way; `before` stays visible. */
export const loading = <T>(before: Loaded<T>): Loaded<T> => ({ data: before.data, error: null, isLoading: true });
export const arrived = <T>(data: T): Loaded<T> => ({ data, error: null, isLoading: false });
export const refused = <T>(error: ApiError): Loaded<T> => ({ data: null, error, isLoading: false });
