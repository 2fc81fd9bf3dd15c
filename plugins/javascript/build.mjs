// Makes a component of rule.js. Every feature that needs an import is switched off: a pack imports nothing.
import { componentize } from '@bytecodealliance/componentize-js';
import { readFile, writeFile } from 'node:fs/promises';

const { component, imports } = await componentize(await readFile('rule.js', 'utf8'), {
  witPath: '../wit/rules.wit',
  worldName: 'validator',
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
if (imports.length > 0) throw new Error(`the pack would import ${imports}`);
await writeFile('pack.wasm', component);
