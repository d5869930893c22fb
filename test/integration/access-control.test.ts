import assert from "node:assert/strict";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, type TestContext, test } from "node:test";
import { Metadata, status } from "@grpc/grpc-js";
import { callUnary, daprClient } from "../golden/grpc-client.ts";
import { EchoClient } from "../support/echo-service.ts";
import { startGrpcApp } from "../support/grpc-app.ts";
import { listApps, startOutrigger } from "../support/outrigger.ts";
import { folderWith, ownHome, startBeside, whenReady } from "../support/processes.ts";
import { answersUntilClosed, RawConnection } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";
import { startUpgradeApp } from "../support/upgrade-app.ts";

/** `spec.accessControl`: who may call what of an app, over both hops. */

function configuration(spec: string): string {
  return `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n${spec.replace(/^(?=.)/gm, "  ")}`;
}

/** Of the vault: shop may do most things, others may do nothing. */
const VAULT = configuration(`accessControl:
  defaultAction: deny
  trustDomain: public
  policies:
  - appId: shop
    trustDomain: public
    namespace: default
    defaultAction: allow
    operations:
    - {name: /admin, httpVerb: ["*"], action: deny}
    - {name: /admin/health, httpVerb: [GET], action: allow}
    - {name: /items/*, httpVerb: [DELETE, PUT], action: deny}
    - {name: "/a/*/secret*", httpVerb: [GET], action: deny}
`);

interface RunFileApp {
  readonly appID: string;
  readonly appPort?: number;
  readonly appProtocol?: string;
  readonly configFilePath?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** One process for these apps, beside the apps of the test. @returns its output, and the API of each app by its id. */
async function startTogether(
  t: TestContext,
  home: string,
  apps: readonly RunFileApp[],
  files: Readonly<Record<string, string>>,
) {
  const described = apps.map((app) => ({ appDirPath: ".", ...app }));
  const folder = folderWith(t, {
    ...files,
    "run.yaml": JSON.stringify({ version: 1, common: { noDefaultPubsub: true }, apps: described }),
  });
  const outrigger = startOutrigger(t, ["run", "-f", join(folder, "run.yaml")], { home });
  for (const { appID } of apps) await whenReady(outrigger, appID);
  const own = (await listApps(home)).filter(({ pid }) => pid === outrigger.pid);
  const apis = new Map(own.map(({ appId, httpPort }) => [appId, `http://127.0.0.1:${httpPort}`]));
  return { outrigger, apiOf: (id: string) => apis.get(id) ?? assert.fail(`${id} is not listed`), files: folder };
}

/** Sent as it is, byte for byte, which fetch would not do. */
async function send(
  t: TestContext,
  api: string,
  target: string,
  path: string,
  options: { readonly verb?: string; readonly headers?: readonly string[] } = {},
): Promise<{ status: number; body: string }> {
  const { verb = "GET", headers = [] } = options;
  const head = [`${verb} /v1.0/invoke/${target}/method${path} HTTP/1.1`, "Host: x", "Connection: close", ...headers];
  const [answer] = await answersUntilClosed(t, Number(new URL(api).port), `${head.join("\r\n")}\r\n\r\n`);
  if (answer === undefined) throw new Error("no answer");
  return { status: answer.status, body: Buffer.from(answer.body, "latin1").toString("utf8") };
}

function deniedBody(target: string, id: string, operation: string, verb = "GET"): string {
  const why = `access control policy has denied access to id: ${id} operation: ${operation} verb: ${verb}`;
  const message = `failed to invoke, id: ${target}, err: rpc error: code = PermissionDenied desc = ${why}`;
  return JSON.stringify({ errorCode: "ERR_DIRECT_INVOKE", message });
}

/** What the app has been sent since the last time somebody asked. */
function taken(app: InTestApp): string[] {
  return app.begun.splice(0);
}

const SHOP = "spiffe://public/ns/default/shop";
const FORGED = ["dapr-caller-app-id: shop", "dapr-caller-namespace: default", "Dapr_Caller_App_Id: shop"];

const CALLS: [verb: string, path: string, allowed: boolean][] = [
  ["GET", "/", true],
  ["POST", "/items", true],
  ["GET", "/items/7", true],
  ["DELETE", "/items/7", false],
  ["PUT", "/items/7", false],
  ["GET", "/a/b/secret", false],
  ["GET", "/a/b/secrets", false],
  ["POST", "/a/b/secrets", true],
  ["GET", "/a/b/c/secret", true],
  ["GET", "/admin", false],
  ["GET", "/ADMIN", false],
  ["POST", "/admin/users", false],
  ["GET", "/admin/health", true],
  ["POST", "/admin/health", false],
  ["GET", "/administration", true],
];

const DISGUISES: [path: string, operation: string][] = [
  ["//admin", "admin"],
  ["/admin/", "admin"],
  ["/%61dmin", "admin"],
  ["/x/../admin", "admin"],
  ["/x/%2e%2E/Admin", "Admin"],
  ["/x%2F..%2Fadmin%2f", "admin"],
  ["/admin%2Fusers", "admin/users"],
  ["/admin;x=1", "admin;x=1"],
  ["/admin%3Bx/y", "admin;x/y"],
  ["/x%5C..%5Cadmin", "x\\..\\admin"],
  ["/%2561dmin", "%61dmin"],
  ["/x/..;/admin", "x/..;/admin"],
  ["/%EF%BD%81dmin", "ａdmin"],
];

describe("access control", { concurrency: 3, timeout: 240_000 }, () => {
  test("an upgrade is judged as any call is, over both hops", async (t) => {
    const [home, app] = [ownHome(t), await startUpgradeApp(t)];
    const apps = [{ appID: "vault", appPort: app.port, configFilePath: "vault.yaml" }, { appID: "shop" }];
    const { apiOf } = await startTogether(t, home, apps, { "vault.yaml": VAULT });
    const headers = ["Connection: Upgrade", "Upgrade: raw/1"];
    const denied = await send(t, apiOf("shop"), "vault", "/x/%2e%2e/admin", { headers });
    assert.deepEqual([denied.status, denied.body], [403, deniedBody("vault", SHOP, "admin")]);
    const { api } = await startBeside(t, "elsewhere", undefined, { home });
    assert.equal((await send(t, api, "vault", "/raw", { headers })).status, 403);
    assert.deepEqual(app.asked, []);
    const allowed = await RawConnection.open(t, Number(new URL(apiOf("shop")).port));
    allowed.write(`GET /v1.0/invoke/vault/method/raw HTTP/1.1\r\nHost: x\r\n${headers.join("\r\n")}\r\n\r\n`);
    await allowed.waitForText(/^HTTP\/1\.1 101 /);
  });

  test("between apps of one process, the policy of the caller decides, by path and verb", async (t) => {
    const [home, app] = [ownHome(t), await startInTestApp(t)];
    const apps = [
      { appID: "vault", appPort: app.port, configFilePath: "vault.yaml" },
      { appID: "shop" },
      { appID: "till" },
    ];
    const { apiOf, outrigger } = await startTogether(t, home, apps, { "vault.yaml": VAULT });
    for (const [verb, path, allowed] of CALLS) {
      const { status, body } = await send(t, apiOf("shop"), "vault", path === "/" ? "/." : path, { verb });
      assert.equal(status, allowed ? 200 : 403, `${verb} ${path}: ${body}`);
      assert.equal(body, allowed ? "ok" : deniedBody("vault", SHOP, path.slice(1), verb));
      assert.deepEqual(taken(app), allowed ? [`${verb} ${path}`] : []);
    }
    await outrigger.waitForOutput(/warn .*access control has denied a call.*spiffe:\/\/public\/ns\/default\/shop/);

    // One that no policy names, and that says it is another.
    const till = await send(t, apiOf("till"), "vault", "/items", { headers: FORGED });
    assert.deepEqual([till.status, till.body], [403, deniedBody("vault", "spiffe://public/ns/default/till", "items")]);
    assert.deepEqual(taken(app), []);

    // Its own rules do not hold for the app itself.
    assert.equal((await send(t, apiOf("vault"), "vault", "/admin")).status, 200);
    assert.deepEqual(taken(app), ["GET /admin"]);
  });

  for (const preserve of [false, true]) {
    test(`no way of writing a denied path gets past a rule, preservePath ${preserve ? "on" : "off"}`, async (t) => {
      const [home, app] = [ownHome(t), await startInTestApp(t)];
      const apps = [
        { appID: "vault", appPort: app.port, configFilePath: "vault.yaml" },
        { appID: "shop", configFilePath: "shop.yaml" },
      ];
      const shop = configuration(`invocation: {preservePath: ${preserve}}\n`);
      const { apiOf } = await startTogether(t, home, apps, { "vault.yaml": VAULT, "shop.yaml": shop });
      for (const [path, operation] of DISGUISES) {
        const { status, body } = await send(t, apiOf("shop"), "vault", path);
        assert.equal(status, 403, path);
        assert.deepEqual(JSON.parse(body), JSON.parse(deniedBody("vault", SHOP, operation)), path);
      }
      assert.deepEqual(taken(app), []);
      assert.equal((await send(t, apiOf("shop"), "vault", "/b%2Fc//d/")).status, 200);
      assert.deepEqual(taken(app), [preserve ? "GET /b%2Fc//d/" : "GET /b/c/d"]);
    });
  }

  test("between processes nothing proves who calls: the default action holds, whatever a caller says", async (t) => {
    const [home, app, open] = [ownHome(t), await startInTestApp(t), await startInTestApp(t)];
    const opened = VAULT.replace("defaultAction: deny", "defaultAction: allow");
    const folder = folderWith(t, { "vault.yaml": VAULT, "open.yaml": opened });
    const flags = (file: string): string[] => ["--config", join(folder, file)];
    const vault = await startBeside(t, "vault", app.port, { home, flags: flags("vault.yaml") });
    const shop = await startBeside(t, "shop", undefined, { home });
    for (const headers of [[], FORGED, ["outrigger-identity: spiffe://public/ns/default/shop"]]) {
      const { status, body } = await send(t, shop.api, "vault", "/Items%2F7", { headers });
      assert.deepEqual([status, body], [403, deniedBody("vault", "", "Items/7")]);
    }
    const { body } = await send(t, shop.api, "vault", "/%E4%BD%A0", { verb: "DELETE" });
    assert.equal(body, deniedBody("vault", "", "你", "DELETE"));
    // Past the caller's sidecar, as no app should.
    const head = ["GET /items HTTP/1.1", "Host: x", "Connection: close", "outrigger-target: vault.default", ...FORGED];
    const [answer] = await answersUntilClosed(t, vault.listed.internalPort, `${head.join("\r\n")}\r\n\r\n`);
    assert.equal(answer?.headers["outrigger-error"], "PermissionDenied");
    assert.match(answer.body, /^access control policy has denied access to id: {2}operation: items verb: GET$/);
    assert.deepEqual(taken(app), []);
    await vault.outrigger.waitForOutput(/access control has denied a call.*unknown.*mTLS/);

    await startBeside(t, "open", open.port, { home, flags: flags("open.yaml") });
    assert.equal((await send(t, shop.api, "open", "/admin")).status, 200);
    assert.deepEqual(taken(open), ["GET /admin"]);
  });

  test("a call with a body is denied over both hops, and its connection serves the next one", async (t) => {
    const [home, app] = [ownHome(t), await startInTestApp(t)];
    const apps = [{ appID: "vault", appPort: app.port, configFilePath: "vault.yaml" }, { appID: "shop" }];
    const { apiOf } = await startTogether(t, home, apps, { "vault.yaml": VAULT });
    const far = await startBeside(t, "far", undefined, { home });
    const chunk = Buffer.alloc(64 * 1024, "x");
    const bodies = {
      short: () => "short",
      long: () => Buffer.alloc(1024 * 1024, "x"),
      streamed: () => Readable.toWeb(Readable.from(Array.from({ length: 16 }, () => chunk))),
    };
    for (const api of [apiOf("shop"), far.api]) {
      for (const [name, body] of Object.entries(bodies)) {
        const init = { method: "POST", body: body(), duplex: "half" } as RequestInit;
        const response = await fetch(`${api}/v1.0/invoke/vault/method/admin`, init);
        const id = api === far.api ? "" : SHOP;
        assert.deepEqual(
          [response.status, await response.text()],
          [403, deniedBody("vault", id, "admin", "POST")],
          name,
        );
      }
    }
    assert.deepEqual(taken(app), []);
    const allowed = await fetch(`${apiOf("shop")}/v1.0/invoke/vault/method/items`, {
      method: "POST",
      body: bodies.long(),
    });
    assert.equal(allowed.status, 200);
    assert.deepEqual(
      app.whole.map(({ body }) => body.length),
      [1024 * 1024],
    );
  });

  test("of an app that speaks gRPC, methods have no verb, whatever door a call comes through", async (t) => {
    const [home, app] = [ownHome(t), await startGrpcApp(t, { onInvoke: () => ({ body: Buffer.from("ok") }) })];
    const rules = configuration(`accessControl:
  defaultAction: deny
  policies:
  - appId: shop
    trustDomain: public
    namespace: default
    defaultAction: deny
    operations:
    - {name: /GetOrder, httpVerb: [GET], action: allow}
    - {name: /NoVerb, action: allow}
    - {name: /demo.v1.Echo/Unary, action: allow}
`);
    const vault = { appID: "vault", appPort: app.port, appProtocol: "grpc", configFilePath: "rules.yaml" };
    const { apiOf, outrigger } = await startTogether(t, home, [vault, { appID: "shop" }], { "rules.yaml": rules });
    assert.doesNotMatch(outrigger.output, /has no effect/);
    const far = await startBeside(t, "far", undefined, { home });
    const grpcPort = (await listApps(home)).find(({ appId }) => appId === "shop")?.grpcPort;
    const doors = [
      { api: apiOf("shop"), address: `127.0.0.1:${grpcPort}`, isKnown: true },
      { api: far.api, address: `127.0.0.1:${far.listed.grpcPort}`, isKnown: false },
    ];
    for (const { api, address, isKnown } of doors) {
      const dapr = daprClient(t, address);
      const invoked = async (method: string, verb: string): Promise<string | undefined> => {
        const message = { id: "vault", message: { method, http_extension: { verb } } };
        return (await callUnary(dapr, "InvokeService", message, new Metadata())).err?.code;
      };
      for (const [method, isAllowed] of [
        ["GetOrder", true],
        ["getorder", false],
        ["NoVerb", true],
        ["Other", false],
      ] as const) {
        for (const verb of ["GET", "POST"]) {
          const answer = await send(t, api, "vault", `/${method}`, { verb });
          assert.equal(answer.status, isKnown && isAllowed ? 200 : 403, `${verb} ${method}`);
        }
        for (const verb of ["GET", "POST", "NONE"]) {
          const code = await invoked(method, verb);
          assert.equal(code, isKnown && isAllowed ? undefined : "PERMISSION_DENIED", `${verb} ${method}`);
        }
      }
      const echo = new EchoClient(t, Number(address.split(":")[1]));
      // The app has no such service: whoever hears that has got through.
      const codes = await Promise.all(
        (["Unary", "Fail"] as const).map(
          async (method) => (await echo.unary(method, [["dapr-app-id", "vault"]]).answered).code,
        ),
      );
      const denied = status.PERMISSION_DENIED;
      assert.deepEqual(codes, isKnown ? [status.UNIMPLEMENTED, denied] : [denied, denied]);
    }
  });

  test("two apps of one id are told apart by their namespaces and their trust domains", async (t) => {
    const [home, app] = [ownHome(t), await startInTestApp(t)];
    const rules = configuration(`accessControl:
  defaultAction: deny
  policies:
  - {appId: shop, trustDomain: public, namespace: prod, defaultAction: allow}
  - {appId: shop, trustDomain: public, namespace: test, defaultAction: deny}
  - {appId: shop, trustDomain: mine, namespace: test, defaultAction: allow}
`);
    const mine = configuration("accessControl: {trustDomain: mine, defaultAction: allow}\n");
    const files = { "rules.yaml": rules, "mine.yaml": mine, "plain.yaml": configuration("invocation: {}\n") };
    const start = async (namespace: string, config: string): Promise<(target: string) => Promise<string>> => {
      const id = `vault-${namespace}-${config}`;
      const { apiOf } = await startTogether(
        t,
        home,
        [
          { appID: id, appPort: app.port, configFilePath: "rules.yaml", env: { NAMESPACE: "prod" } },
          { appID: "shop", configFilePath: `${config}.yaml`, env: { NAMESPACE: namespace } },
        ],
        files,
      );
      return async (target) => {
        const { status, body } = await send(t, apiOf("shop"), `${target}.prod`, "/x");
        return status === 200 ? "ok" : (/id: (spiffe\S*|) operation/.exec(body)?.[1] ?? body);
      };
    };
    const prod = await start("prod", "plain");
    const other = await start("test", "plain");
    const others = await start("test", "mine");
    assert.equal(await prod("vault-prod-plain"), "ok");
    assert.equal(await other("vault-test-plain"), "spiffe://public/ns/test/shop");
    assert.equal(await others("vault-test-mine"), "ok");
    // A neighbour's name for itself is worth nothing in another process.
    assert.equal(await prod("vault-test-plain"), "");
  });
});
