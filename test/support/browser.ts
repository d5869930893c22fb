/** As much of a browser as a login takes: it keeps cookies, each for its server, and goes where it is sent. */
export class Browser {
  readonly #jars = new Map<string, Map<string, string>>();

  /** One request; where it is sent to is for the test. */
  async get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const jar = this.cookiesOf(url);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const sent = cookie === "" ? headers : { ...headers, cookie };
    const response = await fetch(url, { redirect: "manual", headers: sent });
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(";").map((part) => part.trim());
      const at = pair.indexOf("=");
      const isGone = attributes.some(
        (attribute) => /^max-age=0$/i.test(attribute) || /^expires=Thu, 01 Jan 1970/i.test(attribute),
      );
      if (isGone) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return response;
  }

  /** Goes on until an answer sends it nowhere, or to somewhere that `until` is true of. */
  async follow(
    url: string,
    until: (next: string) => boolean = () => false,
  ): Promise<{ url: string; response: Response }> {
    let at = url;
    for (let hops = 0; hops < 12; hops++) {
      const response = await this.get(at);
      const location = response.headers.get("location");
      if (location === null) return { url: at, response };
      await response.body?.cancel();
      const next = new URL(location, at).href;
      if (until(next)) return { url: next, response };
      at = next;
    }
    throw new Error(`sent from place to place, at last to ${at}`);
  }

  /** What it keeps for the server of this URL; to be changed as one likes. */
  cookiesOf(url: string): Map<string, string> {
    const { origin } = new URL(url);
    const jar = this.#jars.get(origin) ?? new Map<string, string>();
    this.#jars.set(origin, jar);
    return jar;
  }
}
