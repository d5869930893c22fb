/**
 * Environment variables that no resource is given, as in daprd: they open the sidecar and the app, and a resource's values
 * go to others.
 */
export function isHiddenVariable(name: string): boolean {
  const upper = name.toUpperCase();
  return upper === "APP_API_TOKEN" || upper.startsWith("DAPR_");
}
