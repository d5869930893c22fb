/** An address as a URL has it: IPv6 in brackets. */
export function hostInUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
