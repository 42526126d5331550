from .data.volume import Volume as Volume
from .data.volume import VoxelSize as VoxelSize
from .errors import DataError as DataError
from .errors import DoubtWarning as DoubtWarning
from .errors import IsosliceError as IsosliceError
from .errors import IsosliceWarning as IsosliceWarning
from .errors import ModelError as ModelError
from .errors import OutputError as OutputError
from .errors import SettingsError as SettingsError
from .evaluation.holdout.run import check as check
from .evaluation.report.of_predict import prediction_report as prediction_report
from .evaluation.report.write import write_report as write_report
from .inference.imported import import_bioimageio as import_bioimageio
from .inference.model import Model as Model
from .inference.prediction import Prediction as Prediction
from .io.image_collection import read_images as read_images
from .io.reading import read_volume as read_volume
from .io.writing import write_volume as write_volume
from .models.exchange.export import export_bioimageio as export_bioimageio
from .training.adapt import adapt as adapt
from .training.distillation import distill as distill
from .training.train import train as train

__version__: str
