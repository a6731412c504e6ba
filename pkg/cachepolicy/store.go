package cachepolicy

// shards is how many parts a store has.
const shards = 16
