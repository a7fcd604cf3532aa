"""Read and name files of any kind but DICOM headers: volumes, masks, arrays, photographs and datalists."""
