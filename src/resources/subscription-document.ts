import * as z from "zod";
import { asPath, bulkFrom, routesFrom, type SubscriptionRoutes, type SubscriptionSpec } from "./subscription-spec.ts";
import { checkDocument, ResourceError, type YamlDocument } from "./yaml-file.ts";

const V1 = "dapr.io/v1alpha1";
const V2 = "dapr.io/v2alpha1";

// As in component metadata: `rawPayload: true` needs no quotes.
const word = z.union([z.string(), z.number(), z.boolean()], { error: "a word is expected" }).transform(String);

const head = {
  kind: z.literal("Subscription"),
  metadata: z.looseObject({ name: z.string().min(1), namespace: z.string().optional() }),
  scopes: z.array(z.string()).default([]),
};

const spec = {
  pubsubname: z.string().min(1),
  topic: z.string().min(1),
  metadata: z.record(z.string(), word).default({}),
  deadLetterTopic: z.string().optional(),
  bulkSubscribe: z
    .strictObject({
      enabled: z.boolean().default(false),
      maxMessagesCount: z.int().optional(),
      maxAwaitDurationMs: z.int().optional(),
    })
    .optional(),
};

const versionSchema = z.looseObject({ apiVersion: z.enum([V1, V2], { error: `say ${V2} or ${V1}` }) });

const v1Schema = z.strictObject({
  ...head,
  apiVersion: z.literal(V1),
  spec: z.strictObject({
    ...spec,
    route: z.string().default(""),
    routes: z.never({ error: `is for apiVersion ${V2}; say that, or give one route` }).optional(),
  }),
});

const v2Schema = z.strictObject({
  ...head,
  apiVersion: z.literal(V2),
  spec: z.strictObject({
    ...spec,
    route: z.never({ error: `is for apiVersion ${V1}; write routes: {default: …}` }).optional(),
    routes: z
      .strictObject({
        rules: z.array(z.strictObject({ match: z.string().default(""), path: z.string() })).default([]),
        default: z.string().optional(),
      })
      .prefault({}),
  }),
});

/** @throws {ResourceError} naming file, line and field. */
export function readSubscription(document: YamlDocument): SubscriptionSpec {
  const { apiVersion } = checkDocument(document, versionSchema);
  return apiVersion === V1 ? readV1(document) : readV2(document);
}

function readV1(document: YamlDocument): SubscriptionSpec {
  const written = checkDocument(document, v1Schema);
  return specOf(document, written, { rules: [], defaultPath: asPath(written.spec.route) });
}

/** @throws {ResourceError} also where no event could get anywhere. */
function readV2(document: YamlDocument): SubscriptionSpec {
  const written = checkDocument(document, v2Schema);
  const routes = routesFrom(written.spec.routes.rules, written.spec.routes.default);
  if (routes.rules.length === 0 && routes.defaultPath === undefined) {
    const place = `${document.file}:${document.lineOf(["spec", "routes"])}: spec.routes`;
    throw new ResourceError(`${place}: no route is given; give rules, each with a path, or a default`);
  }
  return specOf(document, written, routes);
}

type Written = Pick<z.output<typeof v2Schema>, "metadata" | "scopes"> & {
  readonly spec: Pick<z.output<typeof v2Schema>["spec"], keyof typeof spec>;
};

function specOf(
  document: YamlDocument,
  { metadata, scopes, spec: written }: Written,
  routes: SubscriptionRoutes,
): SubscriptionSpec {
  return Object.freeze({
    name: metadata.name,
    namespace: metadata.namespace,
    scopes,
    pubsub: written.pubsubname,
    topic: written.topic,
    metadata: new Map(Object.entries(written.metadata)),
    ...routes,
    deadLetterTopic: written.deadLetterTopic === "" ? undefined : written.deadLetterTopic,
    bulk: bulkFrom(written.bulkSubscribe),
    file: document.file,
    placeOfRule: (index: number) => {
      const path = ["spec", "routes", "rules", index, "match"];
      return `${document.file}:${document.lineOf(path)}: ${path.join(".")}`;
    },
  });
}
