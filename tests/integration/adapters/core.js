// Stands in for @cornerstonejs/core, which draws and needs a browser: what the adapters ask of it.
// Pixel (0.5, 0.5) is the centre of the first pixel, as DICOM's SCOORD has it.
const silent = { info() {}, warn: console.error, debug() {}, error: console.error };
export const utilities = {
  logger: { adaptersLog: { getLogger: () => silent } },
  imageToWorldCoords(id, [column, row]) {
    const { position, across, down, spacing } = globalThis.planes[id];
    return position.map(
      (v, i) => v + across[i] * (column - 0.5) * spacing[1] + down[i] * (row - 0.5) * spacing[0]
    );
  },
  worldToImageCoords() {},
  updatePlaneRestriction() {},
};
export const Enums = { MetadataModules: {} };
export const cache = {};
export const metaData = {};
export const imageLoader = {};
export const volumeLoader = {};
