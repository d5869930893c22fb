import type { ApiObserver, GrpcApiCall, HttpApiCall } from "../core/api-observer.ts";

/** Tells one, then the other. */
export class BothObservers implements ApiObserver {
  readonly #observers: readonly [ApiObserver, ApiObserver];

  constructor(...observers: readonly [ApiObserver, ApiObserver]) {
    this.#observers = observers;
  }

  httpAnswered(call: HttpApiCall): void {
    for (const observer of this.#observers) observer.httpAnswered(call);
  }

  grpcAnswered(call: GrpcApiCall): void {
    for (const observer of this.#observers) observer.grpcAnswered(call);
  }

  errorAnswered(errorCode: string): void {
    for (const observer of this.#observers) observer.errorAnswered(errorCode);
  }
}
