import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Answer, type DecodedPacket, decode, encode, type Packet } from "dns-packet";
import fc from "fast-check";
import { ROOT } from "../../../../test/support/outrigger.ts";
import {
  type AnnouncedService,
  announcement,
  answerWith,
  askedOf,
  browseQuery,
  goodbye,
  hostNameOf,
  instanceNameOf,
  type PacketContents,
  readResponse as readWanted,
} from "./records.ts";

/** A packet as the recording has it: without authorities, which were not recorded, and flushing said of every record. */
interface RecordedPacket {
  readonly type: "query" | "response";
  readonly flags: number;
  readonly questions: readonly { readonly name: string; readonly type: string; readonly class: string }[];
  readonly answers: readonly RecordedAnswer[];
  readonly additionals: readonly RecordedAnswer[];
}

interface RecordedAnswer {
  readonly name: string;
  readonly type: string;
  readonly ttl: number;
  readonly class: string;
  readonly flush: boolean;
  readonly data: unknown;
}

/** Two daprds: both announce themselves, then `mdnsa` asks for `mdnsb` and is answered. */
const recorded = recordedPackets();
const [probeA, , announcementA, announcementB, query, answerOfB] = recorded;

function recordedPackets(): readonly RecordedPacket[] {
  const file = join(ROOT, "test/fixtures/observed/daprd-1.18.1-peer.jsonl");
  const lines = readFileSync(file, "utf8").trim().split("\n");
  const cases = lines.map((line) => JSON.parse(line) as { group: string; packets?: readonly RecordedPacket[] });
  return cases.find(({ group }) => group === "mDNS")?.packets ?? [];
}

/** What a packet is once it has been on the wire. */
function overTheWire(packet: Packet | RecordedPacket | undefined): DecodedPacket {
  return decode(encode(packet as Packet));
}

/** In the words of the recording. */
function asRecorded(packet: Packet): RecordedPacket {
  const { type = "query", flags = 0, questions = [], answers = [], additionals = [] } = overTheWire(packet);
  return {
    type,
    flags,
    questions: questions.map(({ name, type: asked, class: kind = "IN" }) => ({ name, type: asked, class: kind })),
    answers: answers.map(recordedAnswer),
    additionals: additionals.map(recordedAnswer),
  };
}

function recordedAnswer(answer: Answer): RecordedAnswer {
  assert.ok(answer.type !== "OPT");
  const { name, type, ttl = 0, class: kind = "IN", flush = false } = answer;
  const data = answer.type === "TXT" ? (answer.data as readonly Buffer[]).map(String) : answer.data;
  return { name, type, ttl, class: kind, flush, data };
}

/** Without the record that daprd does not have. */
function withoutMark(packet: RecordedPacket): RecordedPacket {
  const ours = ({ name }: RecordedAnswer): boolean => !name.endsWith("._outrigger.local");
  return { ...packet, answers: packet.answers.filter(ours), additionals: packet.additionals.filter(ours) };
}

function service(appId: string, label: string, port: number): AnnouncedService {
  return {
    appId,
    name: instanceNameOf(label, appId),
    target: hostNameOf("vm"),
    address: "127.0.0.1",
    port,
    outrigger: { namespace: "prod", instanceId: "8f0c" },
  };
}

function answersTo(packet: Packet, asked: AnnouncedService): Packet[] {
  const what = askedOf(packet, asked);
  return what.size === 0 ? [] : [answerWith(new Set(what.keys()), asked)];
}

/** Of all apps. */
function readResponse(packet: Packet, fromHere: boolean): PacketContents {
  return readWanted(packet, fromHere, () => true);
}

const mdnsa = service("mdnsa", "vm:29091", 15_002);
const mdnsb = service("mdnsb", "vm:29090", 15_012);
const MARK_OF_A = {
  name: "vm:29091.mdnsa._outrigger.local",
  type: "TXT",
  class: "IN",
  data: ["namespace=prod", "instance=8f0c"],
};

test("the recording is there", () => {
  assert.deepEqual(
    recorded.map(({ type, answers }) => [type, answers.length]),
    [
      ["query", 0],
      ["query", 0],
      ["response", 5],
      ["response", 5],
      ["query", 0],
      ["response", 1],
    ],
  );
  // daprd asks for its own name before it announces it. Nothing comes of the answers, and we do not ask.
  assert.equal(probeA?.questions[0]?.name, mdnsa.name);
});

test("what is announced is what daprd announces, record for record, and our own one behind it", () => {
  const sent = asRecorded(announcement(mdnsa));
  assert.deepEqual(withoutMark(sent), announcementA);
  assert.deepEqual(sent.answers.at(-1), { ...MARK_OF_A, ttl: 3200, flush: true });
  assert.equal(sent.answers.length, 6);
});

test("an app is asked for as daprd asks", () => {
  assert.deepEqual(asRecorded(browseQuery("mdnsb")), query);
});

test("daprd's question is answered as daprd answers it, and our own record comes behind it", () => {
  const [answer, ...more] = answersTo(overTheWire(query), mdnsb);
  assert.ok(answer);
  assert.deepEqual(more, []);
  const sent = asRecorded(answer);
  assert.deepEqual(withoutMark(sent), answerOfB);
  assert.deepEqual(sent.additionals.at(-1)?.data, ["namespace=prod", "instance=8f0c"]);
  assert.equal(sent.additionals.length, 4);
});

test("a goodbye is the announcement, with no time to live", () => {
  const [said, taken] = [asRecorded(announcement(mdnsa)), asRecorded(goodbye(mdnsa))];
  assert.deepEqual(taken, { ...said, answers: said.answers.map((answer) => ({ ...answer, ttl: 0 })) });
});

test("an IPv6 address is announced as one", () => {
  const sent = asRecorded(announcement({ ...mdnsa, address: "fd00::7" }));
  const { type, data } = sent.answers.find(({ name }) => name === "vm.local") ?? {};
  assert.deepEqual([type, data], ["AAAA", "fd00::7"]);
});

test("questions that are answered besides: the list of services, and the instance itself, whatever the case", () => {
  const ask = (name: string, type: string): RecordedPacket[] =>
    answersTo(overTheWire({ type: "query", questions: [{ name, type: type as "PTR" }] }), mdnsa).map(asRecorded);
  const [list] = ask("_services._dns-sd._udp.local", "PTR");
  assert.deepEqual(
    list?.answers.map(({ name, data }) => [name, data]),
    [["_services._dns-sd._udp.local", "mdnsa.local"]],
  );
  for (const type of ["SRV", "TXT", "ANY", "PTR"]) {
    const [lookup] = ask("VM:29091.mdnsa.LOCAL", type);
    const types = lookup?.answers.map((answer) => answer.type);
    assert.deepEqual(types, ["SRV", "TXT", "PTR", "PTR", "A", "TXT"], type);
    assert.ok(lookup?.answers.every(({ flush }) => !flush));
  }
  assert.equal(ask("MDNSA.local", "PTR").length, 1);
  assert.equal(ask("mdnsa.local", "ANY").length, 1);
});

test("what is not asked of it is not answered", () => {
  const questions = [
    { name: "mdnsb.local", type: "PTR" },
    { name: "a.mdnsa.local", type: "PTR" },
    { name: "mdnsa.local", type: "A" },
    { name: "vm.local", type: "A" },
    { name: "vm:29092.mdnsa.local", type: "SRV" },
    { name: "mdnsa", type: "PTR" },
    { name: "local", type: "PTR" },
  ] as const;
  assert.deepEqual(answersTo(overTheWire({ type: "query", questions: [...questions] }), mdnsa), []);
  assert.deepEqual(answersTo(overTheWire({ type: "query" }), mdnsa), []);
});

test("whatever is asked in one packet is answered in one, and nothing twice", () => {
  const ask = (...names: readonly string[]): Packet[] =>
    answersTo(overTheWire({ type: "query", questions: names.map((name) => ({ name, type: "PTR" })) }), mdnsa);
  const list = "_services._dns-sd._udp.local";
  const one = ask("mdnsa.local");
  assert.deepEqual(ask("mdnsa.local", "MDNSA.local", "mdnsa.local"), one);
  const [both, ...more] = ask(list, "mdnsa.local", list);
  assert.deepEqual(more, []);
  assert.deepEqual(
    both?.answers?.map(({ name }) => name),
    ["mdnsa.local", list],
  );
  assert.deepEqual(both.additionals, one[0]?.additionals);
  assert.deepEqual(ask(mdnsa.name, list, "mdnsa.local"), ask(mdnsa.name));
});

test("of several questions each is kept that got something; who asks more than 16 is not answered", () => {
  const asking = (times: number): Packet => ({
    type: "query",
    questions: [
      { name: "other.local", type: "PTR" },
      ...Array.from({ length: times - 1 }, () => ({ name: "mdnsa.local", type: "PTR" }) as const),
    ],
  });
  const asked = [...askedOf(overTheWire(asking(16)), mdnsa)].map(([what, { name }]) => [what, name]);
  assert.deepEqual(asked, [["pointer", "mdnsa.local"]]);
  assert.equal(askedOf(overTheWire(asking(17)), mdnsa).size, 0);
});

test("what the asker says it knows is not told again, unless it knows it not for long", () => {
  const known = (ttl: number, data = mdnsa.name): Packet => ({
    ...browseQuery("mdnsa"),
    answers: [{ name: "mdnsa.local", type: "PTR", ttl, class: "IN", data }],
  });
  assert.deepEqual(answersTo(overTheWire(known(1600)), mdnsa), []);
  assert.equal(answersTo(overTheWire(known(1599)), mdnsa).length, 1);
  assert.equal(answersTo(overTheWire(known(3200, "vm:1.mdnsa.local")), mdnsa).length, 1);
});

test("the recorded announcements and answers tell of the daprds that sent them", () => {
  const daprd = (appId: string, name: string, port: number) => ({
    found: [{ appId, name, host: "127.0.0.1", port, outrigger: undefined }],
    gone: [],
  });
  assert.deepEqual(readResponse(overTheWire(announcementA), true), daprd("mdnsa", "vm:29091.mdnsa.local", 15_002));
  assert.deepEqual(readResponse(overTheWire(announcementB), true), daprd("mdnsb", "vm:29090.mdnsb.local", 15_012));
  assert.deepEqual(readResponse(overTheWire(answerOfB), true), daprd("mdnsb", "vm:29090.mdnsb.local", 15_012));
});

test("an address that another machine has sent, and that leads to this one, to none, or to many, leads nowhere", () => {
  assert.deepEqual(readResponse(overTheWire(announcementA), false), { found: [], gone: [] });
  const from = (address: string): string | undefined =>
    readResponse(overTheWire(announcement({ ...mdnsa, address })), false).found[0]?.host;
  const astray = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "224.0.0.251", "239.1.1.1", "255.255.255.255"];
  const mapped = ["::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.7", "0:0:0:0:0:ffff:7f00:1", "ff02::fb"];
  for (const address of [...astray, ...mapped]) assert.equal(from(address), undefined, address);
  for (const address of ["10.0.0.7", "128.0.0.1", "1.0.0.0", "223.255.255.1", "fd00::7", "2001:db8::1", "fe80::7"]) {
    assert.equal(from(address), address);
  }
});

test("what we announce is read with its namespace and instance; a goodbye with its port", () => {
  const { found, gone } = readResponse(overTheWire(announcement(mdnsa)), true);
  assert.deepEqual(found, [
    { appId: "mdnsa", name: mdnsa.name, host: "127.0.0.1", port: 15_002, outrigger: mdnsa.outrigger },
  ]);
  assert.deepEqual(gone, []);
  const bye = readResponse(overTheWire(goodbye(mdnsa)), true);
  assert.deepEqual(bye.found, []);
  assert.deepEqual(
    bye.gone.filter(({ name }) => name === mdnsa.name),
    [{ name: mdnsa.name, port: 15_002 }],
  );
});

test("a goodbye of the pointer alone is one of all that go by that name", () => {
  const packet: Packet = {
    type: "response",
    answers: [{ name: "mdnsa.local", type: "PTR", ttl: 0, class: "IN", data: mdnsa.name }],
  };
  assert.deepEqual(readResponse(overTheWire(packet), true).gone, [{ name: mdnsa.name, port: undefined }]);
});

/** The announcement of mdnsa with one of its records changed, or left out where `change` gives none. */
function changed(type: string, change: (answer: Answer) => Answer | undefined): Packet {
  const packet = announcement(mdnsa);
  let done = false;
  const answers = (packet.answers ?? []).flatMap((answer) => {
    if (done || answer.type !== type) return [answer];
    done = true;
    return change(answer) ?? [];
  });
  return { ...packet, answers };
}

const INCOMPLETE: [what: string, packet: Packet][] = [
  ["no address", changed("A", () => undefined)],
  ["the address of another host", changed("A", (answer) => ({ ...answer, name: "other.local" }))],
  ["an address that is over", changed("A", (answer) => ({ ...answer, ttl: 0 }) as Answer)],
  ["no text", changed("TXT", () => undefined)],
  ["an empty text", changed("TXT", (answer) => ({ ...answer, data: [] }) as Answer)],
  ["the text of another app", changed("TXT", (answer) => ({ ...answer, data: ["ndnsa"] }) as Answer)],
  [
    "the text of an app whose id its own ends with",
    changed("TXT", (answer) => ({ ...answer, data: ["dnsa"] }) as Answer),
  ],
  ["no port", changed("SRV", (answer) => ({ ...answer, data: { port: 0, target: "vm.local" } }) as Answer)],
  ["no service", changed("SRV", () => undefined)],
];

for (const [what, packet] of INCOMPLETE) {
  test(`a response with ${what} tells of nobody`, () => {
    assert.deepEqual(readResponse(overTheWire(packet), true).found, []);
  });
}

test("of several addresses the first IPv4 one counts, else the first IPv6 one", () => {
  const more = (...addresses: readonly string[]): Packet => {
    const packet = changed("A", () => undefined);
    const records = addresses.map(
      (data): Answer => ({ name: "vm.local", type: data.includes(":") ? "AAAA" : "A", ttl: 120, data }),
    );
    return { ...packet, additionals: records };
  };
  const hostIn = (packet: Packet): string | undefined => readResponse(overTheWire(packet), false).found[0]?.host;
  assert.equal(hostIn(more("fd00::1", "10.0.0.2", "10.0.0.3")), "10.0.0.2");
  assert.equal(hostIn(more("fd00::1", "fd00::2")), "fd00::1");
  assert.equal(hostIn(more("127.0.0.1", "::1", "fd00::2")), "fd00::2");
});

test("of apps that are not wanted nothing is read, and each record is looked at a few times at most", () => {
  let looks = 0;
  const counted = (record: Answer): Answer =>
    new Proxy(record, {
      get: (target, field) => {
        if (field === "type") looks++;
        return Reflect.get(target, field) as unknown;
      },
    });
  const answers = Array.from({ length: 100 }, (_, index) => {
    const { answers: records = [] } = announcement(service("mdnsa", `vm:${index}`, index + 1));
    return records.map(counted);
  }).flat();
  const packet: Packet = { type: "response", answers };
  assert.equal(readWanted(packet, true, (appId) => appId === "mdnsa").found.length, 100);
  assert.ok(looks < 10 * answers.length, `${looks} looks at ${answers.length} records`);
  assert.deepEqual(
    readWanted(packet, true, (appId) => appId === "mdnsb"),
    { found: [], gone: [] },
  );
});

/** What packets are broken from: `times` questions, of what is asked for and of what is not, and what answers them. */
function sound(times: number): readonly Buffer[] {
  const names = ["mdnsa.local", "_services._dns-sd._udp.local", mdnsa.name, "other.local"];
  const questions = Array.from({ length: times }, (_, index) => {
    return { name: names[index % names.length] ?? "", type: "PTR" } as const;
  });
  return [
    encode(announcement(mdnsa)),
    encode(goodbye(mdnsa)),
    encode(browseQuery("mdnsa")),
    encode({ type: "query", questions }),
    // As one byte after the other repeats it: each question but the first points at the name of the first.
    repeatedByPointer(encode(browseQuery("mdnsa")), times),
  ];
}

function repeatedByPointer(query: Buffer, times: number): Buffer {
  const again = Buffer.from([0xc0, 12, 0, 12, 0, 1]);
  const bytes = Buffer.concat([query, ...Array.from({ length: times - 1 }, () => again)]);
  bytes.writeUInt16BE(times, 4);
  return bytes;
}

test("a question that is repeated by pointers gets one small answer, or none", () => {
  const answers = (times: number): Packet[] =>
    answersTo(decode(repeatedByPointer(encode(browseQuery("mdnsa")), times)), mdnsa);
  assert.deepEqual(answers(16), answersTo(browseQuery("mdnsa"), mdnsa));
  assert.deepEqual(answers(230), []);
});

test("no packet, however broken, breaks the reader, makes it find what was not announced, or is worth more than one answer", () => {
  const whole = encode(answerWith(new Set(["instance"]), mdnsa)).length;
  const mutation = fc.record({ at: fc.nat(1500), to: fc.nat(255) });
  let answered = 0;
  fc.assert(
    fc.property(
      fc.nat(4),
      fc.integer({ min: 1, max: 230 }),
      fc.array(mutation, { maxLength: 6 }),
      fc.nat(1500),
      (which, times, mutations, length) => {
        const bytes = Buffer.from(sound(times % 4 === 0 ? times : 1 + (times % 16))[which] ?? []);
        for (const { at, to } of mutations) bytes[at % bytes.length] = to;
        const packet = decodedOrNothing(length % 4 === 0 ? bytes.subarray(0, length) : bytes);
        if (packet === undefined) return;
        for (const { appId, port, name } of readResponse(packet, true).found) {
          assert.ok(port >= 1 && port <= 65_535);
          assert.ok(name.endsWith(`.${appId.toLowerCase()}.local`));
        }
        const asked = askedOf(packet, mdnsa);
        if (asked.size === 0) return;
        answered++;
        const questions = [...asked.values()];
        assert.ok(questions.length <= 3);
        // As it goes to a single asker, which is the longest form: three questions, of 40 bytes each at most.
        const answer = encode({ ...answerWith(new Set(asked.keys()), mdnsa), questions });
        assert.ok(answer.length <= whole + 3 * 40, `${answer.length} bytes`);
      },
    ),
    { numRuns: 2000 },
  );
  assert.ok(answered > 200, `only ${answered} packets were answered`);
});

function decodedOrNothing(bytes: Buffer): DecodedPacket | undefined {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}
