// Numbers and times as people read them.
export const num = (value) => (value === undefined || value === null ? 0 : Number(value));

export function short(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toFixed(2) + " G";
  if (size >= 1e6) return (value / 1e6).toFixed(2) + " M";
  if (size >= 1e4) return (value / 1e3).toFixed(1) + " k";
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  if (size !== 0 && size < 1e-3) return value.toExponential(1);
  return value.toPrecision(digits);
}

export const percent = (ratio, digits = 1) => (Number.isFinite(ratio) ? (ratio * 100).toFixed(digits) + " %" : "–");

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (value >= 1024 && at + 1 < units.length) { value /= 1024; ++at; }
  return (at === 0 ? value.toFixed(0) : value.toPrecision(3)) + " " + units[at];
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value < 1) return (value * 1000).toFixed(0) + " ms";
  if (value < 60) return value.toFixed(value < 10 ? 1 : 0) + " s";
  const minutes = Math.floor(value / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (hours < 1) return `${minutes} min ${Math.floor(value % 60)} s`;
  if (days < 1) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}

export function ago(time) {
  if (!time) return "–";
  const past = (Date.now() - Date.parse(time)) / 1000;
  if (past < 2) return "now";
  if (past < 60) return `${Math.floor(past)} s ago`;
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  if (past < 86400) return `${Math.floor(past / 3600)} h ago`;
  return `${Math.floor(past / 86400)} d ago`;
}

export const clock = (time) => (time ? new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "–");
export const word = (text, prefix) => (text || "").replace(prefix, "").replaceAll("_", " ").toLowerCase();
export const id = (name) => (name || "").split("/").pop();
export const count = (value, one) => `${short(value)} ${one}${value === 1 ? "" : "s"}`;
