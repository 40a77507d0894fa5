"""The child process of the local model: llama.cpp's OpenAI-compatible server on a free loopback port.

The key comes through stdin, where no process list shows it.
"""

import json
import os

from rag.models.child import child_streams, reply


def main() -> None:
    stdin, out = child_streams()
    config = json.loads(stdin.readline())
    os.nice(10)  # where processors are few, what serves the others comes before the next word
    try:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = config["model"]
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.api_keys = [config["key"]]
        params.cors_origins = "http://127.0.0.1"
        params.ui = False
        params.n_ctx = config["context"]
        params.n_parallel = config["parallel"]
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
        params.verbosity = -1
        if config["adapter"]:  # wakes at the words that it was trained to follow; all before them stays as it was
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(config["adapter"], 1.0)]
        server = xllamacpp.Server(params)
    except Exception as error:  # whatever stops a model from loading is told to the parent
        reply(out, {"error": f"Cannot load the model {config['model']!r}: {error}"})
        return
    reply(out, {"address": server.listening_address})
    stdin.read()  # until the parent closes it or is gone
    os._exit(0)


if __name__ == "__main__":
    main()
