// graphile-worker, with its local queue and batched completion. It deletes finished jobs.
import { createRequire } from "node:module";
import { main, note, url } from "./adapter.mjs";

const require = createRequire(`${process.env.PEER_MODULES}/x.js`);
const { run, makeWorkerUtils, Logger } = require("graphile-worker");
const logger = new Logger(() => () => {});
const options = { connectionString: url, logger };

async function setup() {
  const utils = await makeWorkerUtils(options);
  await utils.migrate();
  await utils.release();
}

async function client() {
  const utils = await makeWorkerUtils(options);
  return {
    one: (number) => utils.addJob("noop", { n: number }),
    many: (numbers) => utils.addJobs(numbers.map((n) => ({ identifier: "noop", payload: { n } }))),
    close: () => utils.release(),
  };
}

async function work(_processes, threads) {
  const batches = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
  const preset = { worker: { connectionString: url, concurrentJobs: threads, ...batches } };
  const runner = await run({ preset, logger, taskList: { noop: async ({ n }) => note(n) } });
  await runner.promise;
}

await main(setup, client, work);
