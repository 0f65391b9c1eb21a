// The takes of this visit: what was made, two against each other, and settings restored from a file.

export function mount(host, score) {}
