// The shared worker: one for all tabs of a browser.

import { Hub } from "./hub.js";

const hub = new Hub();
globalThis.onconnect = ({ ports: [port] }) => hub.add(port);
