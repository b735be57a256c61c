// What the adapters in JavaScript have in common: the acts, and what a job notes.
import fs from "node:fs";

export const url = process.env.DATABASE_URL;
const now = () => (performance.timeOrigin + performance.now()) / 1000;
const sleep = (seconds) => new Promise((done) => setTimeout(done, Math.max(0, seconds * 1000)));
let file;

export function note(number) {
  file ??= fs.openSync(process.env.PEER_STAMPS, "a");
  const stamp = Buffer.alloc(16);
  stamp.writeDoubleLE(number, 0);
  stamp.writeDoubleLE(now(), 8);
  fs.writeSync(file, stamp);
}

export async function main(setup, client, work) {
  const [act, ...given] = process.argv.slice(2);
  if (act === "setup") return setup();
  if (act === "work") return work(Number(given[0]), Number(given[1]));
  const { one, many, close } = await client();
  const jobs = Number(given[0]);
  if (act === "spaced") {
    const returned = [];
    for (let number = 0, due = now(); number < jobs; number += 1, due += Number(given[1])) {
      await sleep(due - now());
      await one(number);
      returned.push(now());
    }
    console.log(JSON.stringify({ returned }));
  } else {
    if (act === "enqueue") await one(-1);
    let began = now();
    if (act === "enqueue") for (let number = 0; number < jobs; number += 1) await one(number);
    else
      for (let first = 0; first < jobs; first += 1000) {
        await many(Array.from({ length: Math.min(1000, jobs - first) }, (_, each) => first + each));
        if (first === 0) began = now();
      }
    console.log(JSON.stringify({ seconds: now() - began }));
  }
  await close();
}
