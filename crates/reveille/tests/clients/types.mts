// What a site in TypeScript writes, and the mistakes it is told of.

import { Reveille, ReveilleError, type Item, type Pushes, type Subscription } from "reveille-client";

declare const pushes: Pushes;

const client = new Reveille({ url: "https://push.example.org", credentials: "include", pushes: () => pushes });
new Reveille({ url: new URL("https://push.example.org"), headers: async () => ({ authorization: "Bearer x" }), waitMsMax: 5_000 });
// @ts-expect-error It has to be told where the server is.
new Reveille({ credentials: "include" });
// @ts-expect-error There is no such setting.
new Reveille({ url: "https://push.example.org", timeout: 5 });

const subscription: Subscription = await client.subscribe();
const mode: "batch" | "cohort" | "sealed" = subscription.mode;
// @ts-expect-error It may not be subscribed.
const refreshed: Subscription = await client.refresh();
// @ts-expect-error Tokens are never shown.
subscription.token;
const types: Record<string, boolean> = await client.setPreferences({ mention: true });
// @ts-expect-error Wakes or does not.
await client.setPreferences({ mention: "yes" });
const { items, next } = await client.inbox({ before: "x", limit: 10 });
const first: Item | undefined = items[0];
// @ts-expect-error What the site says may be anything.
first?.content.text;
await client.read(items.map((item) => item.id));
await client.read("all");
// @ts-expect-error Which?
await client.read();
try {
  await client.unsubscribe();
} catch (error) {
  if (error instanceof ReveilleError) {
    const told: [string, number, string, number | undefined] = [error.type, error.status, error.detail, error.retryAfterS];
    console.log(told, mode, refreshed, types, next);
  }
}
