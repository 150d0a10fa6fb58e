import {
  createTRPCClient,
  httpBatchLink,
  httpSubscriptionLink,
  splitLink,
  TRPCClientError,
  type TRPCClient,
} from "@trpc/client";

import type { AppRouter } from "./api.js";

export type * from "./api.js";

/** Where the API is and who calls it. */
export interface CoursewrightOptions {
  /** The server, for example `https://courses.example.org`. */
  url: string;
  /** An access token or an API key; a function is asked before every request, so that tokens can be renewed. */
  token?: string | (() => string | Promise<string>);
  /** `EventSource` for subscriptions where the platform has none (Node.js: the package `eventsource`). */
  EventSource?: typeof globalThis.EventSource;
  /** The language of messages: `en` or `ru`. */
  language?: string;
}

/** A client of the whole API: calls that are made at once travel in one request, subscriptions over SSE. */
export function createCoursewright(options: CoursewrightOptions): TRPCClient<AppRouter> {
  const url = `${options.url.replace(/\/+$/, "")}/trpc`;
  const token = async (): Promise<string | undefined> =>
    typeof options.token === "function" ? await options.token() : options.token;
  return createTRPCClient<AppRouter>({
    links: [
      splitLink({
        condition: (operation) => operation.type === "subscription",
        true: httpSubscriptionLink({
          url,
          // An EventSource cannot send headers, so the token travels as a connection parameter.
          connectionParams: async (): Promise<Record<string, string>> => {
            const bearer = await token();
            return bearer === undefined ? {} : { token: bearer };
          },
          ...(options.EventSource === undefined ? {} : { EventSource: options.EventSource }),
        }),
        false: httpBatchLink({
          url,
          headers: async (): Promise<Record<string, string>> => {
            const bearer = await token();
            return {
              ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
              ...(options.language === undefined ? {} : { "accept-language": options.language }),
            };
          },
        }),
      }),
    ],
  });
}

/** Whether an error came from the API, so that `error.data?.errorCode` can be asked. */
export function isCoursewrightError(error: unknown): error is TRPCClientError<AppRouter> {
  return error instanceof TRPCClientError;
}
