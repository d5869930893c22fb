/**
 * An event as it goes over the wire, about 100 bytes.
 *
 * @param {number} number 0 greets a new stream
 * @param {string} sentAt nanoseconds of the monotonic clock, which all processes of a machine share
 */
export function eventText(number, sentAt) {
  return `id: ${number}\ndata: {"n":${number},"at":"${sentAt}","say":"as much as an event usually says"}\n\n`;
}
