// The headline as an SVG: a bar for each path, and where the goals are. nginx must be among them.
import { ratioAllowed } from "./goals.mjs";
import { PATHS } from "./paths.mjs";

const WIDTH = 860;
const LEFT = 316;
const RIGHT = 176;
const TOP = 84;
const BAR = 24;
const STEP = 38;
const OWN = "#0f766e";
const OTHER = "#94a3b8";
const GOAL = "#c2410c";

export function headlinePicture(cells, { date, machine }) {
  const drawn = cells.filter(({ failed }) => failed === undefined);
  const { cpuUs: nginxUs } = drawn.find(({ path }) => path === "nginx");
  const goalUs = ({ path }) => nginxUs * (ratioAllowed(path) ?? 0);
  const most = Math.max(...drawn.map((cell) => Math.max(cell.cpuUs, goalUs(cell))));
  const scale = (us) => (us / most) * (WIDTH - LEFT - RIGHT);
  const bottom = TOP + drawn.length * STEP;
  const bars = drawn.map((cell, index) => bar(cell, TOP + index * STEP, scale, goalUs(cell)));
  const height = bottom + 72;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="14">
<rect width="100%" height="100%" rx="8" fill="#ffffff"/>
${text(24, 34, "CPU time of one call, by the way it takes", 'font-size="18" font-weight="600" fill="#0f172a"')}
${text(24, 58, "µs of the proxy's processes; 20 bytes of JSON, 32 connections; shorter is better", 'fill="#475569"')}
<line x1="${LEFT}" y1="${TOP - 8}" x2="${LEFT}" y2="${bottom - 4}" stroke="#cbd5e1"/>
${bars.join("\n")}
<line x1="24" y1="${bottom + 18}" x2="24" y2="${bottom + 34}" stroke="${GOAL}" stroke-width="3"/>
${text(34, bottom + 31, "goal: the multiple of nginx's cost that was set", 'font-size="12" fill="#475569"')}
${text(24, bottom + 54, `${date}, ${machine}`, 'font-size="12" fill="#64748b"')}
</svg>
`;
}

function bar({ path, cpuUs, ratio }, top, scale, goalUs) {
  const { title, own } = PATHS.find(({ key }) => key === path);
  const width = scale(cpuUs).toFixed(1);
  const middle = top + BAR / 2 + 5;
  const label = `${cpuUs.toFixed(cpuUs < 20 ? 1 : 0)} µs   ${ratio.toFixed(1)} × nginx`;
  const parts = [
    text(LEFT - 12, middle, title, `text-anchor="end" fill="#0f172a"${own ? ' font-weight="600"' : ""}`),
    `<rect x="${LEFT}" y="${top}" width="${width}" height="${BAR}" rx="3" fill="${own ? OWN : OTHER}"/>`,
  ];
  if (goalUs > 0) {
    const x = (LEFT + scale(goalUs)).toFixed(1);
    parts.push(`<line x1="${x}" y1="${top - 5}" x2="${x}" y2="${top + BAR + 5}" stroke="${GOAL}" stroke-width="3"/>`);
  }
  const end = LEFT + Math.max(scale(cpuUs), scale(goalUs)) + 10;
  parts.push(text(end.toFixed(1), middle, label, 'fill="#0f172a" xml:space="preserve"'));
  return parts.join("\n");
}

function text(x, y, content, attributes) {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}
