/**
 * A regular expression as Go writes them (RE2, https://pkg.go.dev/regexp/syntax), as far as JavaScript can say the same:
 * named groups, flags at the beginning, the ends of the text, and classes such as `[[:alpha:]]`.
 *
 * @throws {SyntaxError} where it is none here.
 */
export function goRegExp(pattern: string): RegExp {
  const [, letters = "", rest = pattern] = /^\(\?([ims]+)\)(.*)$/s.exec(pattern) ?? [];
  return new RegExp(translated(rest), `u${letters}`);
}

const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  blank: "\\t ",
  cntrl: "\\x00-\\x1f\\x7f",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`\\{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

function translated(pattern: string): string {
  return pattern.replace(
    /\\(?<escaped>[^pP])|\\(?<oneLetter>[pP])(?<category>[A-Z])|\[:(?<name>[a-z]+):\]|\(\?P</gu,
    (whole, ...rest: unknown[]) => {
      const { escaped, oneLetter, category, name } = rest.at(-1) as Partial<Record<string, string>>;
      if (name !== undefined) return POSIX_CLASSES[name] ?? whole;
      if (oneLetter !== undefined) return `\\${oneLetter}{${category ?? ""}}`;
      if (escaped === undefined) return "(?<";
      if (escaped === "A") return "(?<![^])";
      if (escaped === "z") return "(?![^])";
      // Go takes any punctuation behind a backslash, and JavaScript's `u` not: by its number it is the same to both.
      return /[!-\/:-@[-`{-~]/.test(escaped) ? `\\x${escaped.charCodeAt(0).toString(16)}` : whole;
    },
  );
}
