"""The workloads in PyTorch, on the CPU or (the variant 'torch gpu') on a GPU. Its LSTM has no
peepholes."""

import numpy as np
import torch
from torch import nn

from workloads import CELLS, LEARNING_RATE, MOMENTUM

torch.set_flush_denormal(True)  # as brainstorm does, and no rounding to TF32
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def about():
    return {'version': torch.__version__, 'threads': torch.get_num_threads(),
            'capability': torch.backends.cpu.get_cpu_capability()}


def _cifar10_cnn(work):
    parts, channels = [], 3
    for filters in (32, 32, 64):
        parts += [nn.Conv2d(channels, filters, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        channels = filters
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))


def _mnist_pi(work):
    first, second, third = map(nn.Dropout, work.drops)
    return nn.Sequential(first, nn.Linear(784, 1200), nn.ReLU(), second,
                         nn.Linear(1200, 1200), nn.ReLU(), third, nn.Linear(1200, 10))


def _tiny(work):
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))


class _Lstm(nn.Module):
    def __init__(self, work):
        super().__init__()
        cells = CELLS[work.network]
        self.hidden = nn.LSTM(work.features[0], cells)
        self.projection = nn.Linear(cells, work.classes)

    def forward(self, x):
        return self.projection(self.hidden(x)[0])


NETWORKS = {'cifar10_cnn': _cifar10_cnn, 'mnist_pi': _mnist_pi, 'tiny': _tiny,
            'lstm': _Lstm, 'small_lstm': _Lstm}


def _set_weights(net, work):
    """Outputs come before inputs, these before the window; the gates of an LSTM are i, f, z, o."""
    weights = [np.moveaxis(w, (-1, -2), (0, 1)) for w in work.weights()]
    if work.network in CELLS:
        weights[:2] = [w.reshape(4, -1, w.shape[1])[[1, 2, 0, 3]] for w in weights[:2]]
    with torch.no_grad():
        for parameter in net.parameters():
            numbers = weights.pop(0) if parameter.ndim > 1 else np.zeros(parameter.shape)
            parameter.copy_(torch.from_numpy(numbers.reshape(parameter.shape)))


def _network(work, variant):
    net = NETWORKS[work.network](work)
    _set_weights(net, work)
    device = 'cuda' if variant == 'torch gpu' else 'cpu'
    net = net.to(device)
    if variant == 'torch channels_last':
        net = net.to(memory_format=torch.channels_last)

    def give(x):
        """The user's data is channels last; a net in PyTorch's own format has it converted."""
        if not work.has_images:
            return torch.from_numpy(x if x.shape[0] > 1 else x[0]).to(device)
        x = torch.from_numpy(x[0]).to(device).permute(0, 3, 1, 2)
        return x if variant == 'torch channels_last' else x.contiguous()
    return net, give


def update(work, variant):
    net, give = _network(work, variant)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE, MOMENTUM, fused=True)

    def run(x, targets):
        optimizer.zero_grad()
        logits = net(give(x)).reshape(-1, work.classes)
        ids = torch.from_numpy(targets.reshape(-1)).to(logits.device)
        loss = nn.functional.cross_entropy(logits, ids, reduction='sum') / work.batch_size
        loss.backward()
        optimizer.step()
        return loss.item()
    return run


def predict(work, variant):
    net, give = _network(work, variant)
    net.eval()

    def run(x, targets):
        with torch.inference_mode():
            return np.asarray(net(give(x)).softmax(-1).cpu())
    return run
