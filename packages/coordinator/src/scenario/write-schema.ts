/** Writes scenarios/numalab.schema.json from the zod schema: `node packages/coordinator/src/scenario/write-schema.ts`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SCENARIO_FOLDER } from './catalogue.ts';
import { scenarioSchemaText } from './schema.ts';

writeFileSync(join(SCENARIO_FOLDER, 'numalab.schema.json'), scenarioSchemaText());
