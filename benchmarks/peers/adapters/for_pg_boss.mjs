// pg-boss, with batches and notifications.
import { createRequire } from "node:module";
import { main, note, url } from "./adapter.mjs";

const require = createRequire(`${process.env.PEER_MODULES}/x.js`);
const found = await import(require.resolve("pg-boss"));
const PgBoss = found.PgBoss ?? found.default;

// Version 10 takes the queue's name with each job; 11 and later once.
const isOld = Number(require("pg-boss/package.json").version.split(".")[0]) <= 10;

async function started(more = {}) {
  const boss = new PgBoss({ connectionString: url, useListenNotify: true, ...more });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  return boss;
}

async function setup() {
  const boss = await started();
  await boss.createQueue("noop", { notify: true });
  await boss.stop();
}

async function client() {
  const boss = await started({ supervise: false, schedule: false });
  return {
    one: (number) => boss.send("noop", { n: number }),
    many: (numbers) =>
      isOld
        ? boss.insert(numbers.map((n) => ({ name: "noop", data: { n } })))
        : boss.insert("noop", numbers.map((n) => ({ data: { n } }))),
    close: () => boss.stop({ graceful: false }).then(() => process.exit(0)),
  };
}

async function work() {
  const boss = await started();
  await boss.work("noop", { batchSize: 500, burstWhenBatchFull: true }, async (jobs) => {
    for (const job of jobs) note(job.data.n);
  });
  process.on("SIGTERM", () => boss.stop({ timeout: 2000 }).then(() => process.exit(0)));
}

await main(setup, client, work);
