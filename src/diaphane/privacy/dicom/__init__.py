"""De-identification of DICOM data sets: PS3.15 Annex E as data, and the engine that follows it."""
