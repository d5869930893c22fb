import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  checkTrailers,
  isCommonRequest,
  MalformedMessage,
  parseRequestHead,
  parseResponseHead,
} from "./message-head.ts";

const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}$/);
// Latin1 without control characters; blanks at the ends are not a part of a value.
const value = fc.stringMatching(/^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/);
const blanks = fc.stringMatching(/^[ \t]{0,3}$/);
// What these say matters to the message itself.
const FRAMING = /^(?:host|content-length|transfer-encoding|connection|upgrade|expect)$/i;
const header = fc.tuple(token, value).filter(([name]) => !FRAMING.test(name));

function isRefused(parse: () => unknown): void {
  assert.throws(parse, MalformedMessage);
}

test("every header that RFC 9110 allows is read as it was sent, in order and case", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(header, blanks, blanks)), (lines) => {
      const text = lines.map(([[name, text], before, after]) => `${name}:${before}${text}${after}\r\n`).join("");
      const { section } = parseRequestHead(`GET /a?b HTTP/1.1\r\nHost: x\r\n${text}\r\n`);
      assert.deepEqual(section.headers, ["Host", "x", ...lines.flatMap(([pair]) => pair)]);
    }),
  );
});

test("a control character anywhere in a head is refused", () => {
  const head = "GET /a HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n";
  const control = fc.integer({ min: 0, max: 31 }).filter((code) => code !== 9);
  fc.assert(
    fc.property(fc.nat({ max: head.length - 1 }), control, (at, code) => {
      const text = head.slice(0, at) + String.fromCharCode(code) + head.slice(at);
      // A CR before a CRLF, or a LF behind one, leaves a whole head with something behind or in it.
      isRefused(() => parseRequestHead(text));
    }),
    { numRuns: 1000 },
  );
});

test("a length is a plain decimal number, said once", () => {
  const answer = (lines: string): string => `HTTP/1.1 200 OK\r\n${lines}\r\n`;
  fc.assert(
    fc.property(
      fc.maxSafeNat().filter((length) => length < 1e15),
      (length) => {
        assert.equal(parseResponseHead(answer(`Content-Length: ${length}\r\n`)).section.contentLength, length);
      },
    ),
  );
  for (const bad of ["", "+5", "-5", "0x5", "5,5", "5 5", "5;", "5.0", "5e0", "٥", "1".repeat(16)]) {
    isRefused(() => parseResponseHead(answer(`Content-Length: ${bad}\r\n`)));
  }
  isRefused(() => parseResponseHead(answer("Content-Length: 5\r\nContent-Length: 5\r\n")));
});

test("chunked is the one coding there is, and excludes a length", () => {
  const answer = (lines: string): string => `HTTP/1.1 200 OK\r\n${lines}\r\n`;
  for (const good of ["chunked", "Chunked", "CHUNKED"]) {
    assert.ok(parseResponseHead(answer(`Transfer-Encoding: ${good}\r\n`)).section.chunked);
  }
  for (const bad of ["", "gzip", "gzip, chunked", "chunked, chunked", "xchunked", '"chunked"', "chunked;q=1"]) {
    isRefused(() => parseResponseHead(answer(`Transfer-Encoding: ${bad}\r\n`)));
  }
  for (const both of [
    "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
  ]) {
    isRefused(() => parseResponseHead(answer(both)));
  }
  isRefused(() => parseResponseHead("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
});

test("Connection is a list, in any case and over any number of headers", () => {
  const { section } = parseRequestHead(
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: X, Close\r\nconnection: Keep-Alive\r\n\r\n",
  );
  assert.deepEqual([section.close, section.keepAlive], [true, true]);
});

test("a request names its host once", () => {
  isRefused(() => parseRequestHead("GET / HTTP/1.1\r\n\r\n"));
  isRefused(() => parseRequestHead("GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n"));
});

test("a status is three digits from 100 on, in HTTP/1.0 or 1.1", () => {
  assert.deepEqual(parseResponseHead("HTTP/1.1 204\r\n\r\n").status, 204);
  assert.deepEqual(parseResponseHead("HTTP/1.0 999 \xe9\r\n\r\n").statusText, "\xe9");
  for (const bad of ["HTTP/1.1 099 a", "HTTP/1.1 20 a", "HTTP/1.1 2000 a", "HTTP/2.0 200 a", "HTTP/1.2 200 a", "a"]) {
    isRefused(() => parseResponseHead(`${bad}\r\n\r\n`));
  }
});

test("uncommon requests are told from what is no request at all", () => {
  const isCommon = (line: string): boolean => isCommonRequest(`${line}\r\nHost: x\r\n\r\n`);
  assert.ok(isCommon("GET / HTTP/1.1"));
  for (const line of [
    "GET / HTTP/1.0",
    "FROB / HTTP/1.1",
    "GET http://x/ HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "CONNECT x:1 HTTP/1.1",
  ]) {
    assert.equal(isCommon(line), false, line);
  }
  for (const line of ["GET /", "GET", " GET / HTTP/1.1", "GET / HTTP/1.10", "GET\t/ HTTP/1.1", "GET / http/1.1"]) {
    isRefused(() => isCommon(line));
  }
});

test("trailers cannot say what only headers may", () => {
  checkTrailers("X: y\r\n\r\n");
  for (const bad of ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: x", "X : y", " folded"]) {
    isRefused(() => {
      checkTrailers(`${bad}\r\n\r\n`);
    });
  }
});
