// The decoder of the server's messages: u32 length H, H bytes of JSON, arrays. Pure: no page, no socket. Whatever is wrong with a
// message is thrown as an Error whose text says what; nothing is believed about lengths before it has been checked.

const TYPES = { u1: Uint8Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array };
const ALIGN = 8; // bytes: each array begins at a multiple

/** Numbers in an array of this shape. Throws where the shape is no shape. */
function lengthOf(name, shape) {
  if (!Array.isArray(shape) || shape.length > 4) throw new Error(`array ${name} has no shape`);
  let length = 1;
  for (const side of shape) {
    if (!Number.isInteger(side) || side < 0) throw new Error(`array ${name} has a side of ${side}`);
    length *= side;
  }
  if (length > 2 ** 28) throw new Error(`array ${name} claims ${length} numbers`);
  return length;
}

/**
 * A message as {head, arrays}: `head` is the JSON, `arrays` maps a name to {data, shape}, where data is a typed array that looks into
 * `buffer` (an ArrayBuffer) without copying.
 */
export function decode(buffer) {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < 4)
    throw new Error("a message is too short for its length");
  const size = new DataView(buffer).getUint32(0, true);
  if (size > buffer.byteLength - 4) throw new Error(`a message of ${buffer.byteLength} bytes claims a head of ${size}`);
  if ((4 + size) % ALIGN !== 0) throw new Error(`a head of ${size} bytes is not padded`);
  let head;
  try {
    head = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 4, size)));
  } catch {
    throw new Error("the head of a message is no JSON");
  }
  if (head === null || typeof head !== "object" || typeof head.t !== "string") throw new Error("a message has no type");
  const arrays = {};
  let offset = 4 + size;
  for (const { name, dtype, shape } of head.arrays ?? []) {
    const Type = TYPES[dtype];
    if (typeof name !== "string" || !Type) throw new Error(`${head.t} has an array of unknown type ${dtype}`);
    const length = lengthOf(name, shape);
    const bytes = length * Type.BYTES_PER_ELEMENT;
    if (bytes > buffer.byteLength - offset) throw new Error(`${head.t} ends within its array ${name}`);
    arrays[name] = { data: new Type(buffer, offset, length), shape };
    offset += Math.ceil(bytes / ALIGN) * ALIGN;
  }
  return { head, arrays };
}
