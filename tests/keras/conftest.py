import keras

collect_ignore = ["test_training.py", "test_exports.py"] if keras.backend.backend() == "numpy" else []
