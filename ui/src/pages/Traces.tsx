export function Traces() {
  return null;
}
