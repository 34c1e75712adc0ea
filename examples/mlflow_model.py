"""A directory of `focal-loss fit` as a model of MLflow, which stores this file and runs it to serve."""

import mlflow
import pandas as pd

import focal_loss


class Served(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.model = focal_loss.load(context.artifacts["model"])

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return self.model.predict_proba(model_input)


mlflow.models.set_model(Served())
