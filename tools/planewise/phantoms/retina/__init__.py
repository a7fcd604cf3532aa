"""Retinas with the lesions of diabetic retinopathy, in photographs."""
