// A clip: some consecutive frames of all streams. Arrays are only given out with the length that the asker expects, so a part that
// is missing or malformed is an absent part, and nothing that reads it can go beyond its end.

export class Clip {
  constructor({ head, arrays }) {
    if (!Number.isInteger(head.n) || head.n < 1 || head.n > 4096 || !Number.isInteger(head.seq)) {
      throw new Error("a clip without a number of frames");
    }
    this.seq = head.seq;
    this.n = head.n;
    this.pass = head.pass;
    this.arrays = arrays;
    this.known = new Map();
  }

  /** All frames of an array with `length` numbers a frame, or null. */
  all(name, length) {
    const data = this.arrays[name]?.data;
    return data?.length === this.n * length ? data : null;
  }

  /** One frame of it, or null. */
  row(name, frame, length) {
    return this.all(name, length)?.subarray(frame * length, (frame + 1) * length) ?? null;
  }

  /** Numbers a frame of an array, or 0 if it is not there. */
  width(name) {
    return (this.arrays[name]?.data.length ?? 0) / this.n;
  }

  /** What `make` makes, once a clip. */
  once(key, make) {
    if (!this.known.has(key)) this.known.set(key, make());
    return this.known.get(key);
  }

  /** Largest absolute value of an array in the clip: one scale for all of its frames. */
  max(name) {
    return this.once(`max ${name}`, () => largest(this.arrays[name]?.data ?? []));
  }

  /** The frames of a stream from 0 to 1, as f4: {data, max: 1}. */
  unitValues(name, length) {
    return this.once(`unit ${name}`, () => {
      const data = this.all(name, length);
      return data instanceof Uint8Array ? Float32Array.from(data, (value) => value / 255) : data;
    });
  }
}

/** Largest absolute value; 0 of nothing. */
export function largest(values) {
  let most = 0;
  for (const value of values) {
    if (value > most) most = value;
    else if (-value > most) most = -value;
  }
  return most;
}
