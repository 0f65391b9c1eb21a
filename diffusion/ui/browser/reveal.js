// The slow reveal: the beliefs of a run, one crossfading into the next at one looping playhead.

export function mount(host, score) {}
