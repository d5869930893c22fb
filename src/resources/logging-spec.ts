import * as z from "zod";

/** `spec.logging.apiLogging` of a Configuration (docs.dapr.io, "Dapr API Logs"). */
export interface ApiLoggingSpec {
  readonly enabled: boolean;
  /** The name of what was called in the place of its path. */
  readonly obfuscateUrls: boolean;
  readonly omitHealthChecks: boolean;
}

export const loggingSchema = z.strictObject({
  apiLogging: z
    .strictObject({
      enabled: z.boolean().optional(),
      obfuscateURLs: z.boolean().optional(),
      omitHealthChecks: z.boolean().optional(),
    })
    .optional(),
});

/** What a document says, over what was said before. */
export function readApiLogging(
  before: ApiLoggingSpec,
  { apiLogging }: z.output<typeof loggingSchema> = {},
): ApiLoggingSpec {
  return {
    enabled: apiLogging?.enabled ?? before.enabled,
    obfuscateUrls: apiLogging?.obfuscateURLs ?? before.obfuscateUrls,
    omitHealthChecks: apiLogging?.omitHealthChecks ?? before.omitHealthChecks,
  };
}
