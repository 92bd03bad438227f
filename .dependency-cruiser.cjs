// Which folder may import which. Three layers, downward only: edge, domain, adapters; lib and errors below all.

const EDGE = "^src/(api|ingress|cli|metrics|traces)/";
const DOMAIN = "^src/(microvms|images|connectors|scheduler|tokens)/";
const ADAPTERS = "^src/(vmm|guest|network|store|artifacts|builder|host|setup|tls|keys|http2)/";
/** Pure tables of the domain that a store transaction or a host checks against. */
const TABLES = "^src/(microvms/state|connectors/state|images/(state|size-class))\\.ts$";
const BASE = "^src/(lib/|errors\\.ts$)";
const WIRING = "^src/(main\\.ts$|cli/)";

/** An import that type stripping removes: the records of the domain are everyone's words. */
const NOT_TYPE_ONLY = { dependencyTypesNot: ["type-only"] };

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "Modules that need each other are one module, or a third one is missing.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: NOT_TYPE_ONLY },
    },
    {
      name: "base-below-all",
      comment: "lib and errors know no other part.",
      severity: "error",
      from: { path: BASE },
      to: { path: "^src/", pathNot: BASE },
    },
    {
      name: "http2-alone",
      comment: "A protocol that knows nothing of what it is used for.",
      severity: "error",
      from: { path: "^src/http2/" },
      to: { path: "^src/", pathNot: ["^src/http2/", BASE] },
    },
    {
      name: "adapters-not-upward",
      comment: "An adapter does not call the domain; it may speak its records and read its tables.",
      severity: "error",
      from: { path: ADAPTERS },
      to: { path: DOMAIN, pathNot: TABLES, ...NOT_TYPE_ONLY },
    },
    {
      name: "tables-are-pure",
      comment: "A table that adapters read must not bring the domain along.",
      severity: "error",
      from: { path: TABLES },
      to: { path: "^src/", pathNot: [BASE, TABLES], ...NOT_TYPE_ONLY },
    },
    {
      name: "nothing-imports-the-edge",
      comment: "What a client sees is nobody's business below.",
      severity: "error",
      from: { path: [DOMAIN, ADAPTERS] },
      to: { path: EDGE },
    },
    {
      name: "api-without-vmm",
      comment: "The API records intent; the scheduler and the host act.",
      severity: "error",
      from: { path: "^src/(api|ingress)/" },
      to: { path: "^src/(vmm|builder|setup)/" },
    },
    {
      name: "qemu-behind-its-driver",
      comment: "Nothing but the wiring knows which VMM there is.",
      severity: "error",
      from: { path: "^src/", pathNot: [WIRING, "^src/vmm/qemu/"] },
      to: { path: "^src/vmm/qemu/" },
    },
    {
      name: "wired-in-one-place",
      comment: "Configuration is read once and passed down.",
      severity: "error",
      from: { path: "^src/", pathNot: [WIRING, "^src/config\\.ts$"] },
      to: { path: ["^src/config\\.ts$", WIRING], ...NOT_TYPE_ONLY },
    },
    {
      name: "no-development-packages",
      comment: "The service runs with its run-time dependencies alone.",
      severity: "error",
      from: { path: "^src/" },
      to: {
        dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"],
        ...NOT_TYPE_ONLY,
      },
    },
    {
      name: "nothing-outside-src",
      comment: "Tests, scripts and benches see the service, not the other way round.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(test|scripts|bench|examples)/" },
    },
    {
      name: "resolvable",
      comment: "Every import names something that is there.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: {
      conditionNames: ["import", "node", "default", "types"],
      exportsFields: ["exports"],
      extensions: [".ts", ".js", ".json"],
    },
  },
};
