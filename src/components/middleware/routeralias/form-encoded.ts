/** Fields in the order of their names, as Go's url.Values.Encode writes them. */
export function formEncoded(fields: URLSearchParams): string {
  const names = [...new Set(fields.keys())].sort();
  const pairs = names.flatMap((name) => fields.getAll(name).map((value) => `${encoded(name)}=${encoded(value)}`));
  return pairs.join("&");
}

function encoded(text: string): string {
  const uri = encodeURIComponent(text).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return uri.replaceAll("%20", "+");
}
