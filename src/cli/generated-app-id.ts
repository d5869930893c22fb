import { randomInt } from "node:crypto";
import { type AppId, parseAppId } from "../core/app-id.ts";

const QUALITIES =
  "able bold brave bright calm clear cool eager early fair fast fond free fresh glad keen kind late light lively lucky merry mild neat noble proud quick quiet ready sharp smart steady sunny sure swift warm wise young".split(
    " ",
  );
const ANIMALS =
  "badger beaver crane deer dolphin eagle falcon ferret finch fox gecko goose hare hawk heron ibis koala lark lemur lynx magpie marten moose newt otter owl panda pelican puffin raven robin salmon seal sparrow stork swan tern wren".split(
    " ",
  );

/**
 * An id for an app that was given none, easy to read aloud and to type: `quick-otter-4821`. Dapr's CLI makes one up in
 * the same place (pkg/standalone/run.go).
 *
 * @param taken ids it must not be, because apps that run have them.
 * @param pick gives a whole number from 0 to below its argument.
 */
export function generateAppId(taken: ReadonlySet<string>, pick: (below: number) => number = randomInt): AppId {
  for (;;) {
    const words = [QUALITIES, ANIMALS].map((list) => list[pick(list.length)]);
    const id = [...words, 1000 + pick(9000)].join("-");
    if (!taken.has(id)) return parseAppId(id);
  }
}
