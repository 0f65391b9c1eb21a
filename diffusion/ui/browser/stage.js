// Stage mode: the score alone, for a room to read from the last row.

export function mount(host, score) {}
