import assert from "node:assert/strict";
import type { NetworkInterfaceInfo } from "node:os";
import { test } from "node:test";
import { OwnNetwork } from "./own-network.ts";

function address(cidr: string, internal = false): NetworkInterfaceInfo {
  const [own = ""] = cidr.split("/");
  const rest = { address: own, cidr, netmask: "", mac: "", internal };
  return own.includes(":") ? { ...rest, family: "IPv6", scopeid: 0 } : { ...rest, family: "IPv4" };
}

const loopback = [address("127.0.0.1/8", true), address("::1/128", true)];

test("packets come from this machine, from one on a link of it, or are not to be heard", () => {
  const network = new OwnNetwork(() => ({
    lo: loopback,
    eth0: [address("10.0.0.7/24"), address("fe80::7/64"), address("fd00::7/64")],
  }));
  network.look();
  for (const here of ["127.0.0.1", "::1", "10.0.0.7", "fe80::7%eth0", "fd00::7"]) {
    assert.equal(network.originOf(here), "here", here);
  }
  for (const near of ["10.0.0.8", "10.0.0.255", "fe80::8%eth0", "fd00::8", "127.0.0.2"]) {
    assert.equal(network.originOf(near), "link", near);
  }
  for (const far of ["10.0.1.7", "8.8.8.8", "2001:db8::1", "fd00:0:0:1::7", "::ffff:a00:8", "", "nobody"]) {
    assert.equal(network.originOf(far), undefined, far);
  }
});

test("the system is asked when it is said to, not for each packet", () => {
  let asked = 0;
  const interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = { lo: loopback };
  const network = new OwnNetwork(() => {
    asked++;
    return interfaces;
  });
  network.look();
  interfaces["eth0"] = [address("10.0.0.7/24")];
  for (let packets = 0; packets < 100; packets++) assert.equal(network.originOf("10.0.0.8"), undefined);
  assert.equal(asked, 1);
  network.look();
  assert.equal(network.originOf("10.0.0.8"), "link");
  interfaces["eth0"] = undefined;
  network.look();
  assert.equal(network.originOf("10.0.0.8"), undefined);
});
