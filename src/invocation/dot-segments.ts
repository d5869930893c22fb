/**
 * Whether a path leads elsewhere than it says to anybody who resolves `.` and `..`, written plainly, as escapes (twice, too),
 * between backslashes or with parameters (`..;`). A rule that has judged such a path has not judged what an app makes of it.
 *
 * @param path percent-encoded, without a query.
 */
export function hasDotSegments(path: string): boolean {
  return DOT_SEGMENT.test(path);
}

const DOT_SEGMENT = /(?:^|\/|\\|%(?:25)*(?:2f|5c))(?:\.|%(?:25)*2e){1,2}(?:$|[/\\;]|%(?:25)*(?:2f|5c|3b))/i;
