import * as z from "zod";

/** Where the value of a field comes from: the document itself, a secret store, or the environment of Outrigger. */
export type ValueSource =
  | { readonly kind: "value"; readonly value: string }
  | { readonly kind: "secret"; readonly name: string; readonly key: string }
  | { readonly kind: "env"; readonly variable: string };

/** A field of a resource by its name, as `spec.metadata` of a Component and `spec.headers` of an HTTPEndpoint have them. */
export interface NamedValue {
  readonly name: string;
  readonly source: ValueSource;
}

// As Dapr's DynamicValue: `1883` and `true` need no quotes.
const scalar = z.union([z.string(), z.number(), z.boolean()]).transform(String);

const fields = {
  value: scalar.optional(),
  secretKeyRef: z.strictObject({ name: z.string().min(1), key: z.string().optional() }).optional(),
  envRef: z.string().min(1).optional(),
};

/** `value`, `secretKeyRef` or `envRef`. */
export const valueSourceSchema = z.strictObject(fields).transform((written, context) => {
  refuseTwo(written, "", context);
  return sourceOf(written);
});

/** The same with a `name`. */
export const namedValueSchema = z
  .strictObject({ name: z.string().min(1), ...fields })
  .transform(({ name, ...written }, context): NamedValue => {
    refuseTwo(written, ` for ${name}`, context);
    return { name, source: sourceOf(written) };
  });

interface Written {
  readonly value?: string | undefined;
  readonly secretKeyRef?: { readonly name: string; readonly key?: string | undefined } | undefined;
  readonly envRef?: string | undefined;
}

function refuseTwo(written: Written, forWhat: string, context: z.RefinementCtx): void {
  const given = (["value", "secretKeyRef", "envRef"] as const).filter((field) => written[field] !== undefined);
  if (given.length > 1) context.addIssue(`${given.join(" and ")} are both given${forWhat}; give one of them`);
}

function sourceOf({ value = "", secretKeyRef, envRef }: Written): ValueSource {
  if (envRef !== undefined) return { kind: "env", variable: envRef };
  if (secretKeyRef === undefined) return { kind: "value", value };
  // A secret of one value has it under its own name.
  const { name, key = "" } = secretKeyRef;
  return { kind: "secret", name, key: key === "" ? name : key };
}
