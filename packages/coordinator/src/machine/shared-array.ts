type Words = Uint32Array | Int32Array | Float64Array | Uint8Array;

/** The same contents in shared memory, so that workers are handed a view and not a copy. */
export const shareArray = <Array extends Words>(array: Array): Array => {
  const Kind = array.constructor as new (buffer: SharedArrayBuffer) => Array;
  const shared = new Kind(new SharedArrayBuffer(array.byteLength));
  shared.set(array);
  return shared;
};
