"""Radiograph, ECG and laboratory values of one patient: Symile-MIMIC, and the simulated simclinic."""
