// Currents of a netlist of ours, one a line, by the ngspice inside eecircuit-engine: node solve.mjs NETLIST
import { readFileSync } from "node:fs";
import { Simulation } from "eecircuit-engine";

const netlist = readFileSync(process.argv[2], "ascii").replace(/^\.control\n[\s\S]*?^\.endc\n/m, "");
const simulation = new Simulation();
await simulation.start();
simulation.setNetList(netlist);
const begin = process.cpuUsage();
const { data } = await simulation.runSim();
const spent = process.cpuUsage(begin);
const solver = simulation.getInfo().match(/Using (.*) as Direct Linear Solver/)[1];
console.error(`${solver}: ${((spent.user + spent.system) / 1e6).toFixed(2)} s of CPU`);
const column = (each) => Number(each.name.match(/^i\(vsense_(\d+)\)$/)?.[1] ?? -1);
const currents = data.filter((each) => column(each) >= 0).sort((one, other) => column(one) - column(other));
console.log(currents.map((each) => each.values[0]).join("\n"));
process.exit(0);
