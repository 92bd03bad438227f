// Further versions of an image: their numbers are never used twice, and each knows what it was built for. What was built
// before was built for the only kind of host there was.

export const imageVersions = {
  version: 2,
  name: "image-versions",
  sql: `
    ALTER TABLE images ADD COLUMN last_version_number INTEGER NOT NULL DEFAULT 1;

    ALTER TABLE image_versions ADD COLUMN cpu_target TEXT NOT NULL
      DEFAULT '{"architecture":"X86_64","chipset":"GENERIC","chipsetGeneration":"1"}';

    CREATE INDEX image_versions_deleting ON image_versions (build_id) WHERE state = 'DELETING';
  `,
} as const;
