"""A trained model as files others run: merged weights, LoRA, GGUF, ONNX; checked against the model they were made from."""
