import type { ComponentMetadata } from "../../components/contract/component-metadata.ts";
import type { Clock } from "../../core/clock.ts";
import { goDuration } from "../../core/go-duration.ts";
import type { ComponentSpec } from "../../resources/component-spec.ts";

interface Initialised {
  init(metadata: ComponentMetadata): Promise<void>;
}

/** @throws what `init` does, and {Error} where it takes longer than the component's `initTimeout`. */
export async function initComponent(
  component: Initialised,
  metadata: ComponentMetadata,
  { initTimeoutMs }: ComponentSpec,
  clock: Clock,
): Promise<void> {
  const timer = new AbortController();
  const late = clock.sleep(initTimeoutMs, timer.signal).then(() => {
    throw new Error(`it was not ready within its initTimeout, ${goDuration(initTimeoutMs)}`);
  });
  // Rejects when it is called off, which is not news.
  late.catch(() => undefined);
  const ready = component.init(metadata);
  // It may fail later, when nobody waits for it any more.
  ready.catch(() => undefined);
  try {
    await Promise.race([ready, late]);
  } finally {
    timer.abort();
  }
}
