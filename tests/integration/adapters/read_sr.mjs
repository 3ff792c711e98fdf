// Reads an SR with the adapters that OHIF uses, and prints what they make of it as JSON.
// node read_sr.mjs sr.dcm images.json, with images.json: {"UID:FRAME": plane of the image}
import fs from "node:fs";
import dcmjs from "dcmjs";
import MeasurementReport from "@cornerstonejs/adapters/cornerstone3D/MeasurementReport";
import "@cornerstonejs/adapters/cornerstone3D/Bidirectional";
import "@cornerstonejs/adapters/cornerstone3D/Length";
import "@cornerstonejs/adapters/cornerstone3D/RectangleROI";
import "@cornerstonejs/adapters/cornerstone3D/Probe";

const [, , file, images] = process.argv;
const planes = JSON.parse(fs.readFileSync(images));
globalThis.planes = planes;
const { data } = dcmjs;
const message = data.DicomMessage.readFile(fs.readFileSync(file).buffer);
const dataset = data.DicomMetaDictionary.naturalizeDataset(message.dict);
const ids = Object.fromEntries(Object.keys(planes).map(key => [key, key]));
const metadata = { get: (_kind, id) => planes[id] };
const found = MeasurementReport.generateToolState(dataset, ids, metadata);
const told = [];
for (const [tool, states] of Object.entries(found)) {
  for (const state of states) {
    const { annotation } = state;
    told.push({
      tool,
      uid: state.TrackingUniqueIdentifier,
      image: annotation.metadata.referencedImageId,
      label: annotation.data.label,
      finding: state.finding?.CodeMeaning,
      sites: state.findingSites.map(site => site.CodeMeaning),
      points: annotation.data.handles?.points,
      stats: Object.values(annotation.data.cachedStats)[0] ?? null,
    });
  }
}

// What OHIF's own module of SR shows: the group's coordinates and every quantity as a label.
const asList = item => (Array.isArray(item) ? item : [item]);
const report = asList(dataset.ContentSequence).find(
  item => item.ConceptNameCodeSequence.CodeValue === "126010"
);
const shown = asList(report.ContentSequence).map(group => {
  const items = asList(group.ContentSequence);
  const drawn = items.find(item => item.ValueType === "SCOORD");
  return {
    shape: drawn.GraphicType,
    image: drawn.ContentSequence.ReferencedSOPSequence.ReferencedSOPInstanceUID,
    values: items
      .filter(item => item.ValueType === "NUM")
      .map(item => Number(item.MeasuredValueSequence.NumericValue)),
  };
});
console.log(JSON.stringify({ told, shown }));
