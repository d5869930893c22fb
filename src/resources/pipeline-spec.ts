import * as z from "zod";
import type { YamlDocument } from "./yaml-file.ts";

/** A step of `spec.httpPipeline` or `spec.appHttpPipeline` of a Configuration: which component it is. */
export interface HandlerSpec {
  readonly name: string;
  readonly type: string;
  /** `file:line`, for error texts. */
  readonly place: string;
}

export const pipelineSchema = z.strictObject({
  handlers: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        type: z.string().min(1),
        version: z.string().optional(),
        selector: z.unknown().optional(),
      }),
    )
    .default([]),
});

/** The steps in their order. @param section of the document's `spec`. */
export function readPipeline(
  document: YamlDocument,
  section: "httpPipeline" | "appHttpPipeline",
  { handlers }: z.output<typeof pipelineSchema>,
): readonly HandlerSpec[] {
  return handlers.map(({ name, type }, at) => ({
    name,
    type,
    place: `${document.file}:${document.lineOf(["spec", section, "handlers", at])}`,
  }));
}
