// The keys of the page.

export function mount(host, score) {}
